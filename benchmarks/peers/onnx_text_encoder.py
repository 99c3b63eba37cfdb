#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a BERT of MiniLM's shape as ONNX, for onnx_text_encoder.js to time: tokens of texts to the mean of their rows.

    benchmarks/peers/onnx_text_encoder.py <file.onnx>

Weights are random: time does not depend on them. Needs Debian's python3-torch.
"""
import sys

import torch

WORDS, POSITIONS, DIM, LAYERS, HEADS, INNER = 30000, 512, 384, 6, 12, 1536


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.projections, self.output = torch.nn.Linear(DIM, 3 * DIM), torch.nn.Linear(DIM, DIM)
        self.inner, self.outer = torch.nn.Linear(DIM, INNER), torch.nn.Linear(INNER, DIM)
        self.attention_norm, self.output_norm = torch.nn.LayerNorm(DIM), torch.nn.LayerNorm(DIM)

    def forward(self, x):
        heads = x.shape[:2] + (HEADS, DIM // HEADS)
        query, key, value = (part.view(heads).transpose(1, 2) for part in self.projections(x).split(DIM, -1))
        attention = torch.softmax(query @ key.transpose(-1, -2) / (DIM // HEADS) ** 0.5, -1)
        x = self.attention_norm(x + self.output((attention @ value).transpose(1, 2).reshape(x.shape)))
        return self.output_norm(x + self.outer(torch.nn.functional.gelu(self.inner(x))))


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Parameter(torch.randn(WORDS, DIM))
        self.positions = torch.nn.Parameter(torch.randn(POSITIONS, DIM))
        self.norm = torch.nn.LayerNorm(DIM)
        self.blocks = torch.nn.Sequential(*(Block() for _ in range(LAYERS)))

    def forward(self, tokens):
        rows = self.blocks(self.norm(self.words[tokens] + self.positions[: tokens.shape[1]]))
        return torch.nn.functional.normalize(rows.mean(1), dim=-1)


axes = {0: "texts", 1: "tokens"}
torch.onnx.export(Encoder().eval(), (torch.randint(0, WORDS, (2, 32)),), sys.argv[1], input_names=["tokens"],
                  output_names=["vectors"], dynamic_axes={"tokens": axes}, opset_version=14)
