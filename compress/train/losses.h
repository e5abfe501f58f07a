#pragma once

#include "compress/tensor.h"

namespace niwaki {

/// What a loss adds up to over samples (or over the positions that count), and how many of those there are.
struct LossSum {
  Tensor sum;                                // one number, with its gradient
  double weight = 0;
};

/// Both terms, the second `share` times; weights must count the same samples.
LossSum add(const LossSum& first, double first_share, const LossSum& second, double second_share);

// Scores are [N, C], [N, T, C] or [N, C, H, W, ...]: classes on axis 1, and on the last one for rank 3.
// `mask` (bool, [N] or [N, T] or [N, H, W, ...]) says which positions count; undefined: all.

/// -ln softmax(scores)[label] per position; labels [positions] as integers, negative ones are left out, or shares of the
/// same sizes as the scores. E1706 where a label is no class.
LossSum cross_entropy(const Tensor& scores, const Tensor& labels);
/// Mean of (y - target)^2 per sample.
LossSum mse(const Tensor& y, const Tensor& target);
/// Mean per sample of d^2 / 2 for |d| < 1, |d| - 1/2 beyond.
LossSum smooth_l1(const Tensor& y, const Tensor& target);

/// temperature^2 sum_c p_T (ln p_T - ln p_S) of softmax(scores / temperature) (1503.02531).
LossSum distillation(const Tensor& student, const Tensor& teacher, double temperature, const Tensor& mask = {});
/// The same on scores less their mean over their deviation, per position (2403.01427).
LossSum standardised_distillation(const Tensor& student, const Tensor& teacher, double temperature, const Tensor& mask = {});
/// 1 - Pearson correlation of the shares over the classes, and over the samples per class (2205.10536): couples the samples.
LossSum correlation(const Tensor& student, const Tensor& teacher, double temperature, const Tensor& mask = {});
/// Divergence of sigmoid(student) from sigmoid(teacher), mean over the outputs of a sample.
LossSum binary_distillation(const Tensor& student, const Tensor& teacher);

/// Mean of (student - teacher)^2 per sample over `variance` of the teacher's features; of each sample itself where that is 0.
/// Larger maps [N, C, H, W] are pooled to the smaller.
LossSum feature_mse(const Tensor& student, const Tensor& teacher, double variance = 0);
/// |Q_S / |Q_S| - Q_T / |Q_T||^2 of Q = sum_c A_c^2 of maps [N, C, H, W] (1612.03928); the larger is pooled.
LossSum attention_map(const Tensor& student, const Tensor& teacher);
/// |G_S - G_T|^2 / N^2 of G = F F^T with normalised rows over the samples (1907.09682): couples the samples.
LossSum similarity(const Tensor& student, const Tensor& teacher);

/// sum_k p_T (ln p_T - ln p_S) of attention rows p [N, heads, queries, keys], mean over heads and queries; the mean of all heads
/// is compared where their numbers differ (1909.10351).
LossSum attention_rows(const Tensor& student, const Tensor& teacher);
/// The same of softmax(V V^T / sqrt(d)) of values V [N, heads, positions, d] (2002.10957).
LossSum value_relations(const Tensor& student, const Tensor& teacher);

}  // namespace niwaki
