"""Pictures: reading, cropping, augmentation, drawing, charts."""
