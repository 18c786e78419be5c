"""The default depth network: METER-XXS, its training, its data, its accuracy."""
