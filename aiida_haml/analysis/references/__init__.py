"""What environments are compared with: crystals, solid solutions, amorphous products, and what is none of them."""
