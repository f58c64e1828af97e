"""Pictures: reading, cropping, augmentation, drawing."""
