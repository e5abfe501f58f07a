#include "passes/cleanup/symbolic_numbers.h"

#include "compress/graph_edit.h"

#include <algorithm>
#include <cmath>

namespace niwaki {
namespace {

using Number = std::optional<SymbolicInt>;
using Numbers = std::optional<SymbolicNumbers>;

constexpr int64_t kMostNumbers = 64;
constexpr int64_t kExactFloat = int64_t{1} << 24;   // whole float32 up to here are exact
constexpr int64_t kTakesAll = 2147483647;    // exporters write "to the end" as this or more

std::optional<int64_t> constant_of(const Number& number) { return number ? number->constant() : std::nullopt; }

bool is_floating(DType dtype) { return dtype == DType::float32 || dtype == DType::float64; }
bool is_followed(DType dtype) { return is_floating(dtype) || dtype == DType::int64 || dtype == DType::int32 || dtype == DType::boolean; }

/// What the type of the output can hold exactly.
Number as_stored(const Number& number, DType dtype) {
  const auto constant = constant_of(number);
  if (is_floating(dtype)) return constant && std::abs(*constant) < kExactFloat ? number : std::nullopt;
  if (dtype == DType::boolean) return constant && (*constant == 0 || *constant == 1) ? number : std::nullopt;
  if (dtype == DType::int32 && constant && *constant != static_cast<int32_t>(*constant)) return std::nullopt;
  return number;
}

Number truth(bool is_true) { return SymbolicInt(is_true ? 1 : 0); }

Number is_less(const Number& a, const Number& b) {
  if (!a || !b) return std::nullopt;
  const auto above = difference(*b, *a), below = difference(*a, *b);
  if (above && above->is_at_least(1)) return truth(true);
  if (below && below->is_at_least(0)) return truth(false);
  return std::nullopt;
}

Number is_equal(const Number& a, const Number& b) {
  if (a && b && *a == *b) return truth(true);
  const Number less = is_less(a, b), greater = is_less(b, a);
  if (constant_of(less) == 1 || constant_of(greater) == 1) return truth(false);
  return std::nullopt;
}

/// Integers divide toward zero; whole floats only where nothing is left.
Number quotient(const Number& a, const Number& b, bool is_float) {
  if (!a || !b || constant_of(b) == 0) return std::nullopt;
  const auto x = a->constant(), y = b->constant();
  if (x && y && !is_float && *y != -1) return SymbolicInt(*x / *y);
  if (!y) return std::nullopt;               // it might be zero
  return exact_quotient(*a, *b);
}

Number lesser(const Number& a, const Number& b) {
  const auto less = constant_of(is_less(a, b));
  return less == 1 ? a : less == 0 ? b : std::nullopt;
}

Number greater_one(const Number& a, const Number& b) {
  const auto less = constant_of(is_less(a, b));
  return less == 1 ? b : less == 0 ? a : std::nullopt;
}

Number combine(const std::string& op, const Number& a, const Number& b, bool is_float) {
  if (op == "Mul" && !is_float && (constant_of(a) == 0 || constant_of(b) == 0)) return SymbolicInt(0);
  if (op == "Equal") return is_equal(a, b);
  if (op == "Less") return is_less(a, b);
  if (op == "Greater") return is_less(b, a);
  if (!a || !b) return std::nullopt;
  if (op == "Add") return sum(*a, *b);
  if (op == "Sub") return difference(*a, *b);
  if (op == "Mul" || op == "Div") {
    const Number result = op == "Mul" ? product(*a, *b) : quotient(a, b, is_float);
    return is_float && constant_of(result) == 0 ? std::nullopt : result;     // it might be -0
  }
  if (op == "Min") return lesser(a, b);
  return greater_one(a, b);
}

bool is_binary(const std::string& op) {
  static const std::vector<std::string> kOps = {"Add", "Div", "Equal", "Greater", "Less", "Max", "Min", "Mul", "Sub"};
  return std::find(kOps.begin(), kOps.end(), op) != kOps.end();
}

/// Numbers i of inputs that broadcast to `count`; rank 0 and 1 alike.
template <typename Combine>
Numbers element_wise(const SymbolicNode& at, Combine&& combine_at) {
  size_t count = 1;
  for (size_t i = 0; i < at.node.inputs.size(); ++i) {
    const SymbolicNumbers* one = at.numbers_of(i);
    if (one == nullptr) return std::nullopt;
    if (one->size() != 1 && count != 1 && one->size() != count) return std::nullopt;
    if (one->size() != 1) count = one->size();
  }
  SymbolicNumbers result;
  for (size_t i = 0; i < count; ++i) {
    const auto input = [&](size_t index) { return (*at.numbers_of(index))[at.numbers_of(index)->size() == 1 ? 0 : i]; };
    result.push_back(combine_at(input));
  }
  return result;
}

Numbers lengths(const SymbolicNode& at) {
  const SymbolicShape* shape = at.shape(0);
  if (shape == nullptr) return std::nullopt;
  const auto rank = static_cast<int64_t>(shape->size());
  if (at.node.op == "Size") {
    Number count = SymbolicInt(1);
    for (const SymbolicInt& length : *shape) count = count ? product(*count, length) : std::nullopt;
    return SymbolicNumbers{count};
  }
  const auto bounded = [&](int64_t index) { return std::clamp<int64_t>(index < 0 ? index + rank : index, 0, rank); };
  const int64_t start = bounded(int_attribute(at.node, "start", 0)), end = bounded(int_attribute(at.node, "end", rank));
  SymbolicNumbers result;
  for (int64_t i = start; i < end; ++i) result.emplace_back((*shape)[static_cast<size_t>(i)]);
  return result;
}

Numbers gathered(const SymbolicNode& at) {
  const SymbolicNumbers *data = at.numbers_of(0), *indices = at.numbers_of(1);
  const SymbolicShape* shape = at.shape(0);
  if (data == nullptr || indices == nullptr || shape == nullptr || shape->size() != 1) return std::nullopt;
  SymbolicNumbers result;
  for (const Number& index : *indices) {
    auto i = constant_of(index);
    if (i && *i < 0) *i += static_cast<int64_t>(data->size());
    if (!i || *i < 0 || *i >= static_cast<int64_t>(data->size())) return std::nullopt;
    result.push_back((*data)[static_cast<size_t>(*i)]);
  }
  return result;
}

Numbers sliced(const SymbolicNode& at) {
  const SymbolicNumbers* data = at.numbers_of(0);
  const auto starts = constant_list(at, 1, "starts"), ends = constant_list(at, 2, "ends"), steps = constant_list(at, 4, "");
  if (data == nullptr || !starts || !ends || starts->size() != 1 || ends->size() != 1) return std::nullopt;
  if (input_or_absent(at.node, 4) != ValueId::absent && !steps) return std::nullopt;
  const int64_t step = steps ? steps->front() : 1;
  const auto count = static_cast<int64_t>(data->size());
  const auto from_front = [&](int64_t index) { return index < 0 ? index + count : index; };
  if (step < 1) return std::nullopt;
  const int64_t end = std::min(from_front(ends->front()), count);
  SymbolicNumbers result;
  for (int64_t i = std::max<int64_t>(from_front(starts->front()), 0); i < end; i += std::min(step, count)) result.push_back((*data)[static_cast<size_t>(i)]);
  return result;
}

Numbers concatenated(const SymbolicNode& at) {
  SymbolicNumbers result;
  for (size_t i = 0; i < at.node.inputs.size(); ++i) {
    const SymbolicShape* shape = at.shape(i);
    if (at.numbers_of(i) == nullptr || shape == nullptr || shape->size() != 1) return std::nullopt;
    result.insert(result.end(), at.numbers_of(i)->begin(), at.numbers_of(i)->end());
  }
  return result;
}

/// ConstantOfShape and Expand of one number.
Numbers repeated(const SymbolicNode& at) {
  const bool is_fill = at.node.op == "ConstantOfShape";
  const SymbolicNumbers* wanted = at.numbers_of(is_fill ? 0 : 1);
  if (wanted == nullptr || wanted->size() > 1) return std::nullopt;
  const auto count = wanted->empty() ? std::optional<int64_t>(1) : constant_of((*wanted)[0]);
  if (!count || *count < 0 || *count > kMostNumbers) return std::nullopt;
  Number number = SymbolicInt(0);
  if (const auto given = at.node.attributes.find("value"); is_fill && given != at.node.attributes.end()) {
    const auto* constant = std::get_if<Constant>(&given->second);
    const Numbers held = constant ? numbers_in(*constant) : std::nullopt;
    if (!held || held->size() != 1) return std::nullopt;
    number = held->front();
  }
  if (is_fill) return SymbolicNumbers(static_cast<size_t>(*count), number);
  const SymbolicNumbers* data = at.numbers_of(0);
  if (data == nullptr || (data->size() != 1 && static_cast<int64_t>(data->size()) != *count && *count != 1)) return std::nullopt;
  return data->size() == 1 ? SymbolicNumbers(static_cast<size_t>(*count), data->front()) : *data;
}

Numbers computed(const SymbolicNode& at) {
  const std::string& op = at.node.op;
  const bool is_float = is_floating(at.graph.value(at.node.inputs[0]).dtype);
  if (op == "Shape" || op == "Size") return lengths(at);
  if (op == "Gather") return gathered(at);
  if (op == "Slice") return sliced(at);
  if (op == "Concat") return concatenated(at);
  if (op == "ConstantOfShape" || op == "Expand") return repeated(at);
  if (op == "Not") return element_wise(at, [](auto&& input) { return is_equal(input(0), SymbolicInt(0)); });
  if (op == "Where") {
    return element_wise(at, [](auto&& input) {
      const auto condition = constant_of(input(0));
      return condition ? input(*condition != 0 ? 1 : 2) : input(1) == input(2) ? input(1) : std::nullopt;
    });
  }
  if (is_binary(op) && at.node.inputs.size() == 2) {
    return element_wise(at, [&](auto&& input) { return combine(op, input(0), input(1), is_float); });
  }
  const bool is_truth = op == "Cast" && at.graph.value(at.node.outputs[0]).dtype == DType::boolean;
  if (is_truth) {
    return element_wise(at, [](auto&& input) {
      const auto zero = constant_of(is_equal(input(0), SymbolicInt(0)));
      return zero ? truth(*zero == 0) : std::nullopt;
    });
  }
  const bool keeps = op == "Cast" || op == "Identity" || op == "Unsqueeze" || op == "Squeeze" || op == "Reshape" || op == "Flatten" ||
                     (is_float && (op == "Floor" || op == "Ceil" || op == "Round"));
  return keeps && at.numbers_of(0) ? Numbers(*at.numbers_of(0)) : std::nullopt;
}

}  // namespace

std::optional<std::vector<int64_t>> constant_list(const SymbolicNode& at, size_t index, const std::string& attribute) {
  if (!attribute.empty() && has_attribute(at.node, attribute)) return ints_attribute(at.node, attribute);
  const SymbolicNumbers* numbers = at.numbers_of(index);
  if (numbers == nullptr) return std::nullopt;
  std::vector<int64_t> list;
  for (const Number& number : *numbers) {
    const auto constant = constant_of(number);
    if (!constant) return std::nullopt;
    list.push_back(*constant);
  }
  return list;
}

std::optional<SymbolicNumbers> numbers_in(const Constant& constant) {
  if (!is_followed(constant.dtype) || constant.sizes.size() > 1 || element_count(constant) > kMostNumbers) return std::nullopt;
  SymbolicNumbers numbers;
  if (!is_floating(constant.dtype)) {
    const Tensor flat = values(constant).to(at::kLong).reshape({-1}).contiguous();
    for (int64_t i = 0; i < flat.numel(); ++i) numbers.emplace_back(flat.const_data_ptr<int64_t>()[i]);
    return numbers;
  }
  const Tensor flat = values(constant).to(at::kDouble).reshape({-1}).contiguous();
  for (int64_t i = 0; i < flat.numel(); ++i) {
    const double one = flat.const_data_ptr<double>()[i];
    const bool is_whole = std::abs(one) < kExactFloat && one == std::floor(one) && !(one == 0 && std::signbit(one));
    numbers.push_back(is_whole ? Number(SymbolicInt(static_cast<int64_t>(one))) : std::nullopt);
  }
  return numbers;
}

std::optional<SymbolicInt> sliced_length(const SymbolicInt& length, const SymbolicInt& start, const SymbolicInt& end, int64_t step) {
  const auto from_front = [&](const SymbolicInt& index) -> Number {
    const auto constant = index.constant();
    return constant && *constant < 0 ? sum(length, index) : index.is_at_least(0) ? Number(index) : std::nullopt;
  };
  const auto is_all = [](const SymbolicInt& index) { return index.constant() && *index.constant() >= kTakesAll; };
  const Number first = from_front(start), last = is_all(end) ? Number(length) : lesser(from_front(end), length);
  if (step < 1 || !first || !last || !first->is_at_least(0)) return std::nullopt;
  const Number count = difference(*last, *first);
  if (!count || !(count->is_at_least(0))) return std::nullopt;
  if (step == 1) return count;
  const auto constant = count->constant();
  return constant ? Number(SymbolicInt((*constant + step - 1) / step)) : std::nullopt;
}

SymbolicNumbers broadcast_lengths(const SymbolicNumbers& a, const SymbolicNumbers& b) {
  const SymbolicNumbers &longer = a.size() >= b.size() ? a : b, &shorter = a.size() >= b.size() ? b : a;
  SymbolicNumbers result = longer;
  for (size_t i = 0; i < shorter.size(); ++i) {
    Number& here = result[longer.size() - shorter.size() + i];
    const Number& other = shorter[i];
    const auto x = constant_of(here), y = constant_of(other);
    if (y == 1 || (here && here == other)) continue;
    if (x == 1 || (y && *y > 1)) here = other;
    else if (!x || *x <= 1) here = std::nullopt;
  }
  return result;
}

std::optional<SymbolicNumbers> symbolic_numbers(const SymbolicNode& at) {
  if (at.node.outputs.empty() || !is_default_domain(at.node.domain) || at.node.inputs.empty()) return std::nullopt;
  const DType dtype = at.graph.value(at.node.outputs[0]).dtype;
  if (!is_followed(dtype)) return std::nullopt;
  Numbers numbers = computed(at);
  if (!numbers || static_cast<int64_t>(numbers->size()) > kMostNumbers) return std::nullopt;
  for (Number& number : *numbers) number = as_stored(number, dtype);
  return numbers;
}

}  // namespace niwaki
