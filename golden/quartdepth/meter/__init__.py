"""The default depth network: METER-XXS, its training, its data, the metrics of depth."""
