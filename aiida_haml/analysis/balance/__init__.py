"""What has reacted at each face of a cell, per area, from the cell as built on."""
