// Shows the cells of a page: plain JavaScript on a 2D canvas, atoms painted from back to front.
"use strict";
(function () {
  const WIDTH = 720, HEIGHT = 520, STEP = Math.PI / 24, START = { turn: 0.44, tilt: 0.21, zoom: 1 };
  const EDGES = [[0, 1], [0, 2], [0, 4], [1, 3], [1, 5], [2, 3], [2, 6], [3, 7], [4, 5], [4, 6], [5, 7], [6, 7]];

  function element(tag, attributes, text) {
    const made = document.createElement(tag);
    for (const name in attributes) made.setAttribute(name, attributes[name]);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // Frame of the JSON -> atoms about the middle of the cell, and its edges in pieces that can be sorted with them.
  function prepared(candidate, frame) {
    const cell = frame.cell, middle = [0, 1, 2].map((k) => (cell[0][k] + cell[1][k] + cell[2][k]) / 2);
    const atoms = frame.kinds.map((kind, i) => ({
      at: [0, 1, 2].map((k) => frame.positions[3 * i + k] / 100 - middle[k]),
      radius: frame.elements[kind].radius,
      element: frame.elements[kind],
      state: candidate.states[frame.states[i]],
    }));
    const corner = (c) => [0, 1, 2].map((k) =>
      ((c >> 2) & 1) * cell[0][k] + ((c >> 1) & 1) * cell[1][k] + (c & 1) * cell[2][k] - middle[k]);
    const edges = [];
    for (const [from, to] of EDGES) {
      const a = corner(from), b = corner(to), n = 12;
      const point = (s) => a.map((v, k) => v + (s / n) * (b[k] - v));
      for (let s = 0; s < n; s++) edges.push({ from: point(s), to: point(s + 1) });
    }
    const reach = Math.max(...[0, 1, 2, 3, 4, 5, 6, 7].map((c) => Math.hypot(...corner(c))), 1) + 2;
    return { atoms, edges, reach };
  }

  // Right, up and towards the viewer; z is upright.
  function projector(view) {
    const [ca, sa, cb, sb] = [Math.cos(view.turn), Math.sin(view.turn), Math.cos(view.tilt), Math.sin(view.tilt)];
    return ([x, y, z]) => [ca * x + sa * y, -sa * sb * x + ca * sb * y + cb * z, sa * cb * x - ca * cb * y + sb * z];
  }

  // Mixed with white: what lies behind fades.
  function faded(colour, share) {
    const mixed = [1, 3, 5].map((i) => {
      const value = parseInt(colour.slice(i, i + 2), 16);
      return Math.round(value + (255 - value) * share);
    });
    return `rgb(${mixed.join(",")})`;
  }

  function paint(canvas, model, view, colouring) {
    const context = canvas.getContext("2d"), project = projector(view);
    const scale = (view.zoom * Math.min(WIDTH, HEIGHT)) / 2 / model.reach;
    const place = (p) => [WIDTH / 2 + scale * p[0], HEIGHT / 2 - scale * p[1]];
    const items = model.atoms.map((atom) => ({ atom, seen: project(atom.at) }));
    for (const edge of model.edges) {
      const a = project(edge.from), b = project(edge.to);
      items.push({ a, b, seen: [0, 0, (a[2] + b[2]) / 2] });
    }
    items.sort((p, q) => p.seen[2] - q.seen[2]);
    const ratio = canvas.width / WIDTH;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, WIDTH, HEIGHT);
    for (const item of items) {
      const depth = Math.min(Math.max(0.5 - item.seen[2] / (2 * model.reach), 0), 1) * 0.55;
      context.beginPath();
      if (item.atom) {
        const [x, y] = place(item.seen);
        context.arc(x, y, Math.max(scale * item.atom.radius, 0.8), 0, 2 * Math.PI);
        context.fillStyle = faded(item.atom[colouring].colour, depth);
        context.fill();
        context.lineWidth = 0.6;
        context.strokeStyle = faded("#333333", depth);
      } else {
        context.moveTo(...place(item.a));
        context.lineTo(...place(item.b));
        context.lineWidth = 1;
        context.strokeStyle = faded("#555555", depth);
      }
      context.stroke();
    }
  }

  function labelled(text, control) {
    const label = element("label", {}, text + " ");
    label.append(control);
    return label;
  }

  function select(names, change) {
    const made = element("select", {});
    names.forEach((name, i) => made.append(element("option", { value: i }, name)));
    made.addEventListener("change", change);
    return made;
  }

  function build(root, cells) {
    const view = { ...START };
    const canvas = element("canvas", { tabindex: "0", role: "img" });
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = WIDTH * ratio;
    canvas.height = HEIGHT * ratio;
    const legend = element("ul", { class: "legend", "aria-label": "Colours" });
    let model, pending = 0, turning = 0;
    const draw = () => {
      pending = 0;
      paint(canvas, model, view, colour.value === "0" ? "state" : "element");
    };
    const redraw = () => { pending = pending || requestAnimationFrame(draw); };
    const load = () => {
      const candidate = cells[which.value], frame = candidate.frames[when.value];
      const colouring = colour.value === "0" ? "state" : "element", counts = new Map();
      model = prepared(candidate, frame);
      for (const atom of model.atoms) counts.set(atom[colouring], (counts.get(atom[colouring]) || 0) + 1);
      legend.replaceChildren(...[...counts].map(([entry, count]) => {
        const line = element("li", {}, `${entry.name} (${count})`), mark = element("span", { "aria-hidden": "true" });
        mark.style.background = entry.colour;
        line.prepend(mark);
        return line;
      }));
      const time = frame.time_fs === null ? "" : ` at ${frame.time_fs} fs`;
      const told = [...counts].map(([entry, count]) => `${count} ${entry.name}`).join(", ");
      const cut = frame.hidden ? ` A slice of the cell: ${frame.hidden} atoms are not drawn.` : "";
      canvas.setAttribute("aria-label", `${candidate.label}, ${frame.name}${time}, coloured by ${colouring}: ${told}.` +
        ` Arrow keys turn, plus and minus zoom, 0 resets.`);
      state.textContent = `${candidate.label}: ${frame.name}${time}, ${model.atoms.length} atoms.${cut}`;
      redraw();
    };
    const which = select(cells.map((c) => (c.key === c.label ? c.label : `${c.label} (${c.key})`)), load);
    const when = select(cells[0].frames.map((f) => f.name), load);
    const colour = select(["state", "element"], load);
    const state = element("p", { "aria-live": "polite" });
    const turn = (right, up) => {
      view.turn -= right * STEP;
      view.tilt = Math.min(Math.max(view.tilt + up * STEP, -Math.PI / 2), Math.PI / 2);
      redraw();
    };
    const zoom = (factor) => { view.zoom = Math.min(Math.max(view.zoom * factor, 0.3), 12); redraw(); };
    const reset = () => { Object.assign(view, START); redraw(); };
    const actions = {
      ArrowLeft: () => turn(-1, 0), ArrowRight: () => turn(1, 0), ArrowUp: () => turn(0, 1), ArrowDown: () => turn(0, -1),
      "+": () => zoom(1.2), "=": () => zoom(1.2), "-": () => zoom(1 / 1.2), 0: reset,
    };
    canvas.addEventListener("keydown", (event) => {
      const action = !event.ctrlKey && !event.metaKey && !event.altKey && actions[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    });
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      held = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!held) return;
      turn((event.clientX - held[0]) / 12, (event.clientY - held[1]) / 12);
      held = [event.clientX, event.clientY];
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { held = null; });
    const buttons = element("div", { class: "controls", role: "group", "aria-label": "Turn and zoom" });
    const button = (text, name, action) => {
      const made = element("button", { type: "button", "aria-label": name, title: name }, text);
      made.addEventListener("click", action);
      buttons.append(made);
      return made;
    };
    button("←", "Turn left", actions.ArrowLeft);
    button("→", "Turn right", actions.ArrowRight);
    button("↑", "Tilt up", actions.ArrowUp);
    button("↓", "Tilt down", actions.ArrowDown);
    button("+", "Zoom in", actions["+"]);
    button("−", "Zoom out", actions["-"]);
    button("Reset", "Reset the view", reset);
    if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
      const spin = () => { view.turn += 0.01; draw(); turning = requestAnimationFrame(spin); };
      const made = button("Rotate", "Rotate slowly", () => {
        if (turning) cancelAnimationFrame(turning);
        turning = turning ? 0 : requestAnimationFrame(spin);
        made.setAttribute("aria-pressed", String(Boolean(turning)));
      });
      made.setAttribute("aria-pressed", "false");
    }
    const choices = element("div", { class: "controls" });
    choices.append(labelled("Candidate", which), labelled("Time", when), labelled("Colour by", colour));
    root.append(choices, canvas, buttons, legend, state);
    load();
  }

  const source = document.getElementById("cells-data"), root = document.getElementById("viewer");
  if (source && root) {
    build(root, JSON.parse(source.textContent));
    document.documentElement.classList.add("live");
  }
  // Printed whole: what is folded on the screen is open on paper.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((part) => { part.open = true; });
  });
  window.addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));
})();
