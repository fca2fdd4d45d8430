"""Windows of detections, with verdicts of their own. Pure: no clock, no input or output."""
