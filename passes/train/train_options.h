#pragma once

#include "compress/pass.h"
#include "compress/train/trainer.h"

namespace niwaki {

constexpr auto names(OptimizerKind) { return std::array{"adamw", "sgd"}; }
constexpr auto names(Schedule) { return std::array{"cosine", "step", "constant"}; }

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

  Needs needs() const { return {.training = true}; }
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
        field("crop", &O::crop, "move images by up to so many pixels").between(0, 1024)};
  }
};

}  // namespace niwaki
