"""From a picture to an answer: crop, what maps say, and trained models in three lines."""
