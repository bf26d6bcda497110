"""The network, for training and serving."""

import torch


class Network(torch.nn.Module):
    """Images → scores, by way of an embedding."""

    SIZE = 16

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Sequential(torch.nn.Linear(64, 48), torch.nn.ReLU(), torch.nn.Linear(48, self.SIZE))
        self.score = torch.nn.Linear(self.SIZE, 10)

    def forward(self, images):
        return self.score(torch.relu(self.embed(images)))
