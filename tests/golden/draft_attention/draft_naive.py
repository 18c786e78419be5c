"""Draft attention written out from the paper's text with loops over coordinates: shares no code with the package."""

from __future__ import annotations

import math

import torch


def block_members(grid, pool, text_length, text_first):
    """Lists of token positions of every block, video blocks first."""
    (frames, height, width), (pt, ph, pw) = grid, pool
    start = text_length if text_first else 0
    blocks = {}
    for f in range(frames):
        for y in range(height):
            for x in range(width):
                token = start + (f * height + y) * width + x
                blocks.setdefault((f // pt, y // ph, x // pw), []).append(token)
    video = [blocks[key] for key in sorted(blocks)]
    text_start = 0 if text_first else frames * height * width
    size = pt * ph * pw
    text = [list(range(text_start + i, text_start + min(i + size, text_length))) for i in range(0, text_length, size)]
    return video, text


def draft_probability(q, k, video, scale):
    """softmax of pooled products, one head: `[blocks, blocks]`."""
    pooled_q = torch.stack([q[tokens].mean(0) for tokens in video])
    pooled_k = torch.stack([k[tokens].mean(0) for tokens in video])
    return torch.softmax(pooled_q @ pooled_k.T * scale, dim=-1)


def paper_rule(probability, sparsity):
    """Keep what reaches the threshold: the largest of the k smallest entries of the whole map, k = int(sparsity n)."""
    flat = sorted(probability.flatten().tolist())
    left_out = int((1.0 - (1.0 - sparsity)) * len(flat))
    if left_out == 0:
        return torch.ones_like(probability, dtype=torch.bool)
    return probability >= flat[left_out - 1]


def floored_rule(probability, sparsity, row_floor, forced=None):
    """Rows keep their largest entries first; the rest of the budget goes to the largest remaining ones."""
    n = probability.shape[0]
    budget = max(1, n * n - round(sparsity * n * n))
    kept = {(i, j) for i in range(n) for j in range(n) if forced is not None and forced[i][j]}
    for i in range(n):
        ranked = sorted(range(n), key=lambda j: -probability[i, j].item())
        kept |= {(i, j) for j in ranked[:row_floor]}
    ranked = sorted(((probability[i, j].item(), i, j) for i in range(n) for j in range(n)), reverse=True)
    for _, i, j in ranked:
        if len(kept) >= budget:
            break
        kept.add((i, j))
    mask = torch.zeros(n, n, dtype=torch.bool)
    for i, j in kept:
        mask[i, j] = True
    return mask


def block_error(q, k, v, video, scale):
    """Per head, `[blocks, blocks]`: the error that a pooled token would make of a key block, up to a constant."""
    n = len(video)
    variance = torch.stack([k[tokens].var(0, correction=0) for tokens in video])
    spread = torch.stack([v[tokens].var(0, correction=0).sum() for tokens in video])
    spread = spread / spread.mean()
    error = torch.zeros(n, n, dtype=q.dtype)
    for i, rows in enumerate(video):
        mass, squared = [], []
        for j, columns in enumerate(video):
            s2 = scale**2 * (q[rows].square().mean(0) @ variance[j])
            logit = scale * (q[rows].mean(0) @ k[columns].mean(0)) + math.log(len(columns))
            mass.append(logit + min(s2.item() / 2, 8.0))
            squared.append(s2 + 1e-6)
        share = torch.softmax(torch.stack(mass), 0)
        error[i] = share * torch.stack(squared).sqrt() * (spread + 1e-6).sqrt()
    return error


def trust(queries, k, v, video, scale):
    """One key head: how far the variance term holds; `queries` are those of the heads that share it."""
    n = len(video)
    probes = sorted({p * n // min(16, n) for p in range(min(16, n))})
    sampled = sorted({b * n // min(128, n) for b in range(min(128, n))})
    k_mean = torch.stack([k[tokens].mean(0) for tokens in video])
    v_mean = torch.stack([v[tokens].mean(0) for tokens in video])
    gained = expected = 0.0
    for q in queries:
        for probe in probes:
            query = q[video[probe]].mean(0)
            output = torch.softmax(k_mean @ query * scale, 0) @ v_mean
            for block in sampled:
                tokens = video[block]
                logits = k[tokens] @ query * scale
                away = v_mean[block] - output
                moved = ((logits - logits.mean())[:, None] * (v[tokens] - v_mean[block])).mean(0)
                gained += (moved @ away).item()
                expected += 0.5 * logits.var(correction=0).item() * (away @ away).item()
    return min(1.0, max(0.0, 1.0 + 3.0 * gained / expected)) if expected > 0 else 1.0


def attention(q, k, v, mask, video, text, scale, tail=None):
    """One head, float64, token by token. `mask[i][j]` for video blocks; text sees and is seen by everything.

    `tail`: the trust in the variance of the pooled tokens, None without them.
    """
    out = torch.zeros_like(q)
    variances = torch.stack([k[tokens].var(0, correction=0) for tokens in video])
    profile = variances.mean(0)
    for i, rows in enumerate(video + text):
        for row in rows:
            scores, values = [], []
            for j, columns in enumerate(video + text):
                dense = i >= len(video) or j >= len(video)
                if dense or mask[i, j]:
                    scores += [(q[row] @ k[c]).item() * scale for c in columns]
                    values += [v[c] for c in columns]
                elif tail is not None:
                    spread = variances[j].sum() / profile.sum().clamp(min=1e-30)
                    score = (q[row] @ k[columns].mean(0)).item() * scale + math.log(len(columns))
                    gain = 0.5 * scale**2 * (q[row].square() @ profile * spread).item()
                    scores.append(score + tail * gain)
                    values.append(v[columns].mean(0))
            if scores:
                weights = torch.softmax(torch.tensor(scores, dtype=torch.float64), dim=0)
                out[row] = weights @ torch.stack(values)
    return out
