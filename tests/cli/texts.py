"""A whole card that names no demonstration, so that no other file can spoil it."""

CARD = """---
id: halving
topic: foundations
difficulty: 1
sources:
  - A first course in arithmetic, chapter 2
---

# What is half of one?

## Answer

A half: 0.5, which binary floating point holds exactly.

## Key points

1. One divided by two is 0.5.
   - not: One divided by two is 0.05.
   - say: 0.5 | a half

## Claims

1. Half of one is 0.5.
   - verdict: true
   - expected: 0.5
   - tolerance: 0

   ```python
   import torch

   measured = (torch.tensor(1.0) / 2).item()
   ```
"""
