"""What a body is reduced to: masks, the miner that groups bodies, and the way back from a template to a line."""
