#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a SASRec model as ONNX, for onnx_encoder.js to time: 200 events, width 64, two blocks, one head, the ten best items.

    benchmarks/peers/onnx_encoder.py <file.onnx> [items]

Weights are random: time does not depend on them. Needs Debian's python3-torch.
"""
import sys

import torch

WINDOW, DIM, BLOCKS, BEST = 200, 64, 2, 10


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.query_norm, self.inner_norm = torch.nn.LayerNorm(DIM), torch.nn.LayerNorm(DIM)
        self.projections = torch.nn.Linear(DIM, 3 * DIM)
        self.output, self.inner, self.outer = (torch.nn.Linear(DIM, DIM) for _ in range(3))
        self.register_buffer("hidden", torch.ones(WINDOW, WINDOW).triu(1) * -1e9)

    def forward(self, x):
        query, key, value = self.projections(self.query_norm(x)).split(DIM, -1)
        attention = torch.softmax(query @ key.transpose(-1, -2) / DIM ** 0.5 + self.hidden, -1)
        x = x + self.output(attention @ value)
        return x + self.outer(torch.relu(self.inner(self.inner_norm(x))))


class Encoder(torch.nn.Module):
    def __init__(self, items):
        super().__init__()
        self.items = torch.nn.Parameter(torch.randn(items, DIM))
        self.positions = torch.nn.Parameter(torch.randn(WINDOW, DIM))
        self.blocks = torch.nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.norm = torch.nn.LayerNorm(DIM)

    def forward(self, events):
        x = self.blocks(self.items[events] + self.positions)
        return torch.topk(self.norm(x)[:, -1] @ self.items.T, BEST)


items = int(sys.argv[2]) if len(sys.argv) > 2 else 3706
torch.onnx.export(Encoder(items).eval(), (torch.randint(0, items, (1, WINDOW)),), sys.argv[1], input_names=["events"],
                  output_names=["scores", "best"], opset_version=14)
