#include "passes/train/teacher.h"

#include "compress/error.h"
#include "compress/parallel.h"
#include "compress/train/process_group.h"

#include <c10/core/GradMode.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <numeric>

namespace niwaki {
namespace {

constexpr int64_t kChunk = 32;               // samples that are asked for at once, ahead of training

std::vector<ValueId> data_inputs(const Graph& graph) {
  std::vector<ValueId> inputs;
  for (const ValueId id : graph.main().inputs) {
    if (!graph.constant(id)) inputs.push_back(id);
  }
  return inputs;
}

/// Sizes behind the batch; nothing where one is free.
std::optional<std::vector<int64_t>> row_sizes(const Value& value) {
  if (!value.shape || value.shape->empty()) return std::nullopt;
  std::vector<int64_t> sizes;
  for (size_t axis = 1; axis < value.shape->size(); ++axis) {
    const auto* size = std::get_if<int64_t>(&(*value.shape)[axis]);
    if (!size) return std::nullopt;
    sizes.push_back(*size);
  }
  return sizes;
}

std::vector<int64_t> reordered(const std::vector<int64_t>& sizes, const std::vector<int64_t>& order) {
  std::vector<int64_t> moved;
  for (size_t axis = 1; axis < order.size(); ++axis) moved.push_back(sizes[static_cast<size_t>(order[axis] - 1)]);
  return moved;
}

size_t match(const Graph& graph, const std::vector<ValueId>& inputs, const Value& wanted, size_t place) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (graph.value(inputs[i]).name == wanted.name) return i;
  }
  if (place < inputs.size()) return place;
  throw UsageError("E3322", cat("the teacher has an input '", printable(wanted.name), "' that the student has not"), {.found = cat(inputs.size(), " inputs of the student")});
}

}  // namespace

Teacher::Teacher(const Graph& graph, const Graph& student, std::vector<ValueId> wanted) : executor_(graph, {.until = std::move(wanted)}) {
  const std::vector<ValueId> own = executor_.inputs(), given = data_inputs(student);
  for (size_t i = 0; i < own.size(); ++i) {
    const Value& value = graph.value(own[i]);
    Feed feed{.input = match(student, given, value, i), .dtype = value.dtype};
    const Value& source = student.value(given[feed.input]);
    const auto from = row_sizes(source), to = row_sizes(value);
    if (from && to && *from != *to) {
      if (from->size() == 3 && to->size() == 3) {
        for (const std::vector<int64_t>& order : {std::vector<int64_t>{0, 3, 1, 2}, std::vector<int64_t>{0, 2, 3, 1}}) {
          if (feed.order.empty() && reordered(*from, order) == *to) feed.order = order;
        }
      }
      if (feed.order.empty() && c10::multiply_integers(*from) != c10::multiply_integers(*to)) {
        throw UsageError("E3322", cat("the teacher's input '", printable(value.name), "' is [N, ...] of ", shape_text(*to), ", the student's '", printable(source.name), "' of ", shape_text(*from)),
                         {.help = "both must read the same samples"});
      }
      if (feed.order.empty()) feed.sizes = *to;
    }
    if (value.shape && !value.shape->empty()) {
      if (const auto* size = std::get_if<int64_t>(&value.shape->front())) batch_ = *size;
    }
    feeds_.push_back(std::move(feed));
  }
}

RunValue Teacher::feed(const Feed& feed, const Tensor& given) const {
  Tensor rows = given;
  if (!feed.order.empty()) rows = rows.permute(feed.order).contiguous();
  if (!feed.sizes.empty()) {
    std::vector<int64_t> sizes = feed.sizes;
    sizes.insert(sizes.begin(), rows.size(0));
    rows = rows.reshape(sizes);
  }
  return RunValue{rows};
}

/// In the batches that the teacher wants; the last one is filled up with its own first rows.
std::vector<Tensor> Teacher::run(const RunValues& given, int64_t count) const {
  const at::NoGradGuard no_gradient;
  RunValues all;
  for (const Feed& one : feeds_) all.push_back(feed(one, given[one.input].tensor));
  const auto is_rows = [&](const Tensor& y) { return y.dim() > 0 && y.size(0) >= count; };
  std::vector<std::vector<Tensor>> parts;
  const int64_t step = batch_ > 0 ? batch_ : count;
  for (int64_t first = 0; first < count; first += step) {
    RunValues inputs = all;
    const int64_t left = std::min(step, count - first);
    for (RunValue& input : inputs) {
      if (!is_rows(input.tensor)) continue;
      Tensor rows = input.tensor.narrow(0, first, left);
      while (rows.size(0) < step) rows = at::cat({rows, rows.narrow(0, 0, std::min(rows.size(0), step - rows.size(0)))});
      input.tensor = rows;
    }
    const RunValues made = executor_.run(inputs);
    parts.resize(made.size());
    for (size_t i = 0; i < made.size(); ++i) {
      const Tensor& y = made[i].tensor;
      parts[i].push_back(y.dim() > 0 && y.size(0) == step ? y.narrow(0, 0, left) : y);
    }
  }
  std::vector<Tensor> answers;
  for (const auto& part : parts) answers.push_back(part.size() == 1 || part[0].dim() == 0 ? part[0] : at::cat(part));
  return answers;
}

void Teacher::remember(const Dataset& data, int64_t most_bytes, Progress& progress, const ProcessGroup* group) {
  const int64_t samples = data.num_samples(), chunks = (samples + kChunk - 1) / kChunk;
  const auto ask = [&](int64_t chunk) {
    std::vector<int64_t> ids(static_cast<size_t>(std::min(kChunk, samples - chunk * kChunk)));
    std::iota(ids.begin(), ids.end(), chunk * kChunk);
    return run(data.gather(ids).inputs, static_cast<int64_t>(ids.size()));
  };
  const std::vector<Tensor> first = ask(0);
  int64_t bytes = 0;
  for (const Tensor& one : first) {
    if (one.dim() == 0 || one.size(0) != std::min(kChunk, samples)) return;      // no row per sample
    bytes += static_cast<int64_t>(one.nbytes()) / one.size(0) * samples;
  }
  if (bytes > most_bytes) return;
  std::vector<Tensor> kept;
  for (const Tensor& one : first) {
    std::vector<int64_t> sizes = one.sizes().vec();
    sizes[0] = samples;
    kept.push_back(at::zeros(sizes, one.options()));
  }
  bool is_even = true;                       // rows of other lengths cannot lie in one tensor
  const auto [first_chunk, own] = own_part(chunks, group);
  progress.start("teacher", own);
  std::vector<std::vector<Tensor>> found(static_cast<size_t>(own));
  const auto put = [&, first_chunk = first_chunk](int64_t place) {
    const int64_t chunk = first_chunk + place;
    const std::vector<Tensor> rows = std::move(found[static_cast<size_t>(place)]);
    for (size_t i = 0; i < rows.size(); ++i) {
      is_even &= rows[i].sizes().slice(1) == kept[i].sizes().slice(1);
      if (is_even) kept[i].narrow(0, chunk * kChunk, rows[i].size(0)).copy_(rows[i]);
    }
    progress.advance();
  };
  ordered_for(own, [&, first_chunk = first_chunk](int64_t place) { found[static_cast<size_t>(place)] = first_chunk + place == 0 ? first : ask(first_chunk + place); }, put);
  if (group != nullptr) {
    const Tensor uneven = at::full({1}, is_even ? 0.0 : 1.0, at::kDouble);
    group->all_reduce(uneven);
    is_even = uneven.item<double>() == 0;
    for (size_t i = 0; i < kept.size() && is_even; ++i) group->all_reduce(kept[i]);
  }
  if (is_even) kept_ = std::move(kept);
}

std::vector<Tensor> Teacher::answers(const Shard& shard) const {
  if (kept_.empty() || shard.is_augmented) return run(shard.inputs, static_cast<int64_t>(shard.samples.size()));
  std::vector<Tensor> answers;
  const Tensor places = at::tensor(std::vector<int64_t>(shard.samples.begin(), shard.samples.end()), at::kLong);
  for (const Tensor& rows : kept_) answers.push_back(rows.index_select(0, places));
  return answers;
}

}  // namespace niwaki
