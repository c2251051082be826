"""What training and serving take: days, devices, bytes, the largest model, each solved for whichever is unknown."""
