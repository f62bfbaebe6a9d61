"""Images: where they come from, how they are checked, split, stored and brought to the device."""
