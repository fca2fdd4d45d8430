"""Where records come from: files, streams, the journal and Python objects; checkpoints that say how far each was read."""
