#pragma once

#include "compress/pass.h"
#include "compress/target.h"
#include "compress/train/trainer.h"

namespace niwaki {

constexpr auto names(OptimizerKind) { return std::array{"adamw", "sgd"}; }
constexpr auto names(Schedule) { return std::array{"cosine", "step", "constant"}; }

enum class QatMode { automatic, static_, weight_only, storage };
constexpr auto names(QatMode) { return std::array{"auto", "static", "weight_only", "storage"}; }
enum class QatGranularity { automatic, per_tensor, per_channel, per_block };
constexpr auto names(QatGranularity) { return std::array{"auto", "per_tensor", "per_channel", "per_block"}; }

/// Whether zeros of pruned weights may move to other places, as many as there are.
enum class Regrow { automatic, on, off };
constexpr auto names(Regrow) { return std::array{"auto", "on", "off"}; }

/// The statistics of batch norms: as they are stored, or those of each batch, and of the data afterwards.
enum class BatchNormMode { automatic, frozen, train };
constexpr auto names(BatchNormMode) { return std::array{"auto", "frozen", "train"}; }

/// What every pass that trains may be told.
struct TrainOptions {
  int64_t epochs = 0, steps = 0;
  double lr = 1e-3;
  int64_t batch = 64;
  OptimizerKind optimizer = OptimizerKind::adamw;
  double weight_decay = 1e-4, momentum = 0.9;
  Schedule schedule = Schedule::cosine;
  double warm_up = 0.05, clip = 1, average = 0;
  int64_t patience = 0;
  double hold_out = 0.05;
  bool flip = false;
  int64_t crop = 0;
  Regrow regrow = Regrow::automatic;
  BatchNormMode batch_norm = BatchNormMode::automatic;
  bool qat = false;
  int bits = 8;
  QatMode mode = QatMode::automatic;
  QatGranularity granularity = QatGranularity::automatic;
  Target target = Target::onnxruntime_cpu;

  bool needs_ranges() const { return qat && (mode == QatMode::automatic || mode == QatMode::static_); }
  Needs needs() const { return {.calibration = needs_ranges(), .training = true}; }
  /// E2013 and E2008 where what is said of quantization makes no sense.
  void require_quantization() const;
  /// The trainer's options; one that is out of range is E2008 before.
  TrainerOptions trainer(const PassContext& context) const;

  template <typename O>
  static constexpr auto train_fields() {
    return std::tuple{
        field("epochs", &O::epochs, "passes over the training samples; 0: 3, where no steps are given").between(0, 1e6),
        field("steps", &O::steps, "updates; 0: as the epochs say").between(0, 1e9),
        field("lr", &O::lr, "learning rate at its highest").between(1e-12, 1e3),
        field("batch", &O::batch, "samples per update").between(1, 1e6),
        field("optimizer", &O::optimizer, "how a gradient becomes an update"),
        field("weight_decay", &O::weight_decay, "decay of weights of rank 2 and more").between(0, 10),
        field("momentum", &O::momentum, "of sgd").between(0, 0.9999),
        field("schedule", &O::schedule, "how the learning rate falls"),
        field("warm_up", &O::warm_up, "share of the updates over which the learning rate rises").between(0, 1),
        field("clip", &O::clip, "largest norm of a gradient; 0: any").between(0, 1e9),
        field("average", &O::average, "decay of a running average of the weights, which is then what counts; 0: none").between(0, 0.999999),
        field("patience", &O::patience, "epochs without a better validation loss before training ends; 0: never early").between(0, 1e6),
        field("hold_out", &O::hold_out, "share of the samples, at most 1000, kept apart for the validation loss that chooses the best state").between(0, 0.9),
        field("flip", &O::flip, "mirror every other image"),
        field("crop", &O::crop, "move images by up to so many pixels").between(0, 1024),
        field("regrow", &O::regrow, "may zeros of pruned weights change places; auto: right behind an unstructured prune step"),
        field("batch_norm", &O::batch_norm, "statistics of batch norms: frozen, or those of each batch and of the data afterwards; auto: train from 32 samples per batch on, but not with qat"),
        field("qat", &O::qat, "quantize as `quantize` does, and train the integers and their scales"),
        field("bits", &O::bits, "of qat: stored integer width, 8 or 4").between(4, 8),
        field("mode", &O::mode, "of qat: what is quantized; auto is static where integer kernels pay"),
        field("granularity", &O::granularity, "of qat: weights that share one scale"),
        field("target", &O::target, "of qat: runtime that the model is for")};
  }
};

}  // namespace niwaki
