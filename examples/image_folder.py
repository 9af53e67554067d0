"""A torchvision network on a folder of images, one subfolder a class.

python examples/image_folder.py path/to/images
"""

import sys

import torch
from torch import nn
from torchvision import datasets, models, transforms

import chandir


def train(folder: str, epochs: int = 1, arch: str = "resnet18", size: int = 224) -> nn.Module:
    """Train a network from scratch on the images of a folder and return it."""
    look = transforms.Compose(
        [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]
    )
    data = datasets.ImageFolder(folder, look)
    torch.manual_seed(0)
    model: nn.Module = models.get_model(arch, weights=None, num_classes=len(data.classes))
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    chandir.attach(optimizer, model, chandir.Sobolev())  # the one line
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    return model


if __name__ == "__main__":
    train(sys.argv[1])
