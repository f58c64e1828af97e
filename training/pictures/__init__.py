"""Pictures: reading, augmentation, drawing, charts."""
