"""The main job, shown and checked: open an area, hand over the key, use it, close the area."""
