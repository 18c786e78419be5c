"""The quantisation method: polishing, compensation, Fisher-guided rounding, reconstruction."""
