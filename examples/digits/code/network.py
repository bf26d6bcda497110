"""The network that training and inference share."""

from torch import nn


class DigitNet(nn.Module):
    """Images (n, 1, 8, 8) → scores of the ten classes, and embeddings."""

    def __init__(self, embedding_size):
        super().__init__()
        self.embed = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Linear(32 * 4 * 4, embedding_size),
        )
        self.classify = nn.Sequential(nn.ReLU(), nn.Linear(embedding_size, 10))

    def forward(self, images):
        """Return scores (n, 10) and embeddings (n, embedding_size)."""
        embeddings = self.embed(images)
        return self.classify(embeddings), embeddings
