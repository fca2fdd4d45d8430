"""Where detections go."""
