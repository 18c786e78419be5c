"""Networks and their weights: METER-XXS and ViT-S/14 with a DPT head."""
