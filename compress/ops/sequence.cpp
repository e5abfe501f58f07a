#include "compress/ops/op_arguments.h"
#include "compress/ops/text.h"

namespace niwaki {
namespace {

using Items = std::vector<RunValue>;

const Items& items_of(const OpCall& call, size_t i) {
  if (!call.has(i) || !call.inputs[i].sequence) refuse(call, cat("input ", i, " is no sequence"));
  return *call.inputs[i].sequence;
}

/// Input i as a place in [-size, last], or `otherwise` where it is absent.
int64_t place(const OpCall& call, size_t i, int64_t size, int64_t last, int64_t otherwise) {
  const int64_t given = call.has(i) ? int_input(call, i) : otherwise;
  if (given < -size || given > last) refuse(call, cat("position ", given, " in a sequence of ", size, " items"));
  return given < 0 ? given + size : given;
}

RunValues sequence_construct(const OpCall& call) {
  for (size_t i = 0; i < call.inputs.size(); ++i) present(call, i);
  return {sequence_value({call.inputs.begin(), call.inputs.end()})};
}

RunValues sequence_empty(const OpCall& call) { return {sequence_value({})}; }

RunValues sequence_at(const OpCall& call) {
  const Items& items = items_of(call, 0);
  const auto size = static_cast<int64_t>(items.size());
  if (!call.has(1)) throw ModelError("E1107", "input 1 of SequenceAt is missing");
  return {items[static_cast<size_t>(place(call, 1, size, size - 1, 0))]};
}

RunValues sequence_insert(const OpCall& call) {
  Items items = items_of(call, 0);
  const auto size = static_cast<int64_t>(items.size());
  items.insert(items.begin() + place(call, 2, size, size, size), present(call, 1));
  return {sequence_value(std::move(items))};
}

RunValues sequence_erase(const OpCall& call) {
  Items items = items_of(call, 0);
  const auto size = static_cast<int64_t>(items.size());
  if (items.empty()) refuse(call, "the sequence is empty");
  items.erase(items.begin() + place(call, 1, size, size - 1, -1));
  return {sequence_value(std::move(items))};
}

RunValues sequence_length(const OpCall& call) {
  return {at::scalar_tensor(static_cast<int64_t>(items_of(call, 0).size()), at::kLong)};
}

RunValues concat_from_sequence(const OpCall& call) {
  const Items& items = items_of(call, 0);
  if (items.empty()) refuse(call, "the sequence is empty");
  std::vector<Tensor> parts;
  RunValue joined = items[0];
  Strings strings;
  for (const RunValue& item : items) {
    if (item.dtype != joined.dtype) refuse(call, cat("items of ", name_of(item.dtype), " and ", name_of(joined.dtype)));
    parts.push_back(movable(item));
    if (!item.strings) continue;
    parts.back() = parts.back() + static_cast<int64_t>(strings.size());
    strings.insert(strings.end(), item.strings->begin(), item.strings->end());
  }
  if (joined.strings) joined.strings = std::make_shared<const Strings>(std::move(strings));
  const bool is_new = call.attribute("new_axis", 0) != 0;
  const int64_t axis = front_axis(call, call.attribute("axis", 0), parts[0].dim() + (is_new ? 1 : 0));
  return {restored(joined, is_new ? at::stack(parts, axis) : at::cat(parts, axis))};
}

RunValues split_to_sequence(const OpCall& call) {
  const RunValue& x = present(call, 0);
  const Tensor numbers = movable(x);
  const int64_t axis = front_axis(call, call.attribute("axis", 0), numbers.dim());
  Items items;
  if (!call.has(1) && call.attribute("keepdims", 1) == 0) {
    for (const Tensor& part : numbers.unbind(axis)) items.push_back(restored(x, part));
    return {sequence_value(std::move(items))};
  }
  const std::vector<int64_t> given = call.has(1) ? call.ints(1) : std::vector<int64_t>{1};
  const bool is_scalar = !call.has(1) || call.tensor(1).dim() == 0;
  if (is_scalar && given[0] <= 0) refuse(call, cat("parts of size ", given[0]));
  const auto parts = is_scalar ? numbers.split(given[0], axis) : numbers.split_with_sizes(given, axis);
  for (const Tensor& part : parts) items.push_back(restored(x, part));
  return {sequence_value(std::move(items))};
}

RunValues sequence_map(const OpCall& call) {
  const auto found = call.node.bodies.find("body");
  if (found == call.node.bodies.end()) refuse(call, "the body is missing");
  const size_t length = items_of(call, 0).size();
  std::vector<Items> outputs(found->second.outputs.size());
  for (size_t i = 0; i < length; ++i) {
    RunValues inputs;
    for (const RunValue& input : call.inputs) {
      if (input.sequence && input.sequence->size() != length) refuse(call, "the sequences have different lengths");
      inputs.push_back(input.sequence ? (*input.sequence)[i] : input);
    }
    RunValues results = call.run_body(found->second, inputs);
    for (size_t k = 0; k < outputs.size(); ++k) outputs[k].push_back(std::move(results.at(k)));
  }
  RunValues sequences;
  for (Items& items : outputs) sequences.push_back(sequence_value(std::move(items)));
  return sequences;
}

RunValues optional(const OpCall& call) { return {call.has(0) ? call.inputs[0] : RunValue()}; }

RunValues optional_has_element(const OpCall& call) { return {at::scalar_tensor(call.has(0), at::kBool)}; }

RunValues optional_get_element(const OpCall& call) {
  if (!call.has(0)) refuse(call, "the optional is empty");
  return {call.inputs[0]};
}

}  // namespace

std::span<const OpEntry> sequence_ops() {
  static const OpEntry entries[] = {{"", "ConcatFromSequence", concat_from_sequence},
                                    {"", "Optional", optional},
                                    {"", "OptionalGetElement", optional_get_element},
                                    {"", "OptionalHasElement", optional_has_element},
                                    {"", "RegexFullMatch", regex_full_match},
                                    {"", "SequenceAt", sequence_at},
                                    {"", "SequenceConstruct", sequence_construct},
                                    {"", "SequenceEmpty", sequence_empty},
                                    {"", "SequenceErase", sequence_erase},
                                    {"", "SequenceInsert", sequence_insert},
                                    {"", "SequenceLength", sequence_length},
                                    {"", "SequenceMap", sequence_map},
                                    {"", "SplitToSequence", split_to_sequence},
                                    {"", "StringConcat", string_concat},
                                    {"", "StringNormalizer", string_normalizer},
                                    {"", "StringSplit", string_split},
                                    {"", "TfIdfVectorizer", tf_idf_vectorizer}};
  return entries;
}

}  // namespace niwaki
