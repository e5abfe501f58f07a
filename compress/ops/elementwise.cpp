#include "compress/error.h"
#include "compress/ops/numeric.h"
#include "compress/ops/cast.h"

namespace niwaki {
namespace {

using Unary = Tensor (*)(const Tensor&);
using Binary = Tensor (*)(const Tensor&, const Tensor&);

constexpr int64_t kSign = std::numeric_limits<int64_t>::min();

RunValues unary(const OpCall& call, Unary f) {
  const Tensor& x = call.tensor(0);
  return {f(widened(x)).to(x.scalar_type())};
}

// Of the type of the first operand.
RunValues binary(const OpCall& call, Binary f) {
  const Tensor& x = call.tensor(0);
  return {f(widened(x), widened(call.tensor(1))).to(x.scalar_type())};
}

// uint64 keeps its order in int64 once the sign bit is flipped.
Tensor ordered(const Tensor& x) {
  if (x.scalar_type() == at::kUInt64) return at::bitwise_xor(x.to(at::kLong), kSign);
  return widened(x);
}

RunValues comparison(const OpCall& call, Binary f) {
  return {f(ordered(call.tensor(0)), ordered(call.tensor(1)))};
}

// What int64 cannot say for uint64: one number at a time.
template <typename Function>
Tensor uint64_loop(const Tensor& a, const Tensor& b, Function f) {
  const std::vector<Tensor> both = at::broadcast_tensors({a, b});
  const Tensor x = both[0].to(at::kCPU).contiguous(), y = both[1].to(at::kCPU).contiguous();
  Tensor result = at::empty(x.sizes(), x.options());
  const uint64_t* left = x.const_data_ptr<uint64_t>();
  const uint64_t* right = y.const_data_ptr<uint64_t>();
  uint64_t* out = result.mutable_data_ptr<uint64_t>();
  for (int64_t i = 0; i < x.numel(); ++i) out[i] = f(left[i], right[i]);
  return result.to(a.device());
}

bool is_uint64(const OpCall& call) { return call.tensor(0).scalar_type() == at::kUInt64; }

void check_divisor(const OpCall& call) {
  const Tensor& divisor = call.tensor(1);
  if (!divisor.is_floating_point() && widened(divisor).eq(0).any().item<bool>()) {
    refuse(call, "division of integers by zero");
  }
}

bool is_unsigned(const Tensor& x) {
  return x.scalar_type() == at::kByte || at::isBarebonesUnsignedType(x.scalar_type());
}

RunValues abs(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  return {is_unsigned(x) ? x : at::abs(x)};
}

RunValues add(const OpCall& call) { return binary(call, [](auto& a, auto& b) { return a + b; }); }
RunValues sub(const OpCall& call) { return binary(call, [](auto& a, auto& b) { return a - b; }); }
RunValues mul(const OpCall& call) { return binary(call, [](auto& a, auto& b) { return a * b; }); }

// Integers truncate toward zero.
RunValues div(const OpCall& call) {
  check_divisor(call);
  if (is_uint64(call)) {
    return {uint64_loop(call.tensor(0), call.tensor(1), [](auto a, auto b) { return a / b; })};
  }
  if (call.tensor(0).is_floating_point()) {
    return binary(call, [](auto& a, auto& b) { return a / b; });
  }
  return binary(call, [](auto& a, auto& b) { return at::div(a, b, "trunc"); });
}

// fmod: the sign of the dividend, as C; otherwise that of the divisor, as Python.
RunValues mod(const OpCall& call) {
  check_divisor(call);
  if (is_uint64(call)) {
    return {uint64_loop(call.tensor(0), call.tensor(1), [](auto a, auto b) { return a % b; })};
  }
  if (call.attribute("fmod", 0) != 0) {
    return binary(call, [](auto& a, auto& b) { return at::fmod(a, b); });
  }
  return binary(call, [](auto& a, auto& b) { return at::remainder(a, b); });
}

RunValues pow(const OpCall& call) {
  const Tensor x = widened(call.tensor(0)), exponent = widened(call.tensor(1));
  const at::ScalarType type = call.tensor(0).scalar_type();
  // by a number: squares and roots have kernels of their own
  const auto number = constant_scalar(exponent, x.dim());
  if (number && x.is_floating_point()) return {at::pow(x, *number).to(type)};
  if (exponent.is_floating_point() && !x.is_floating_point()) {
    return {at::pow(x.to(at::kDouble), exponent.to(at::kDouble)).to(type)};
  }
  return {at::pow(x, exponent).to(type)};
}

RunValues fold(const OpCall& call, Binary f) {
  const at::ScalarType type = call.tensor(0).scalar_type();
  Tensor y = widened(call.tensor(0));
  for (size_t i = 1; i < call.inputs.size(); ++i) y = f(y, widened(call.tensor(i)));
  return {y.to(type)};
}

RunValues extreme(const OpCall& call, Binary f) {
  const at::ScalarType type = call.tensor(0).scalar_type();
  Tensor y = ordered(call.tensor(0));
  for (size_t i = 1; i < call.inputs.size(); ++i) y = f(y, ordered(call.tensor(i)));
  return {(is_uint64(call) ? at::bitwise_xor(y, kSign) : y).to(type)};
}

RunValues max(const OpCall& call) { return extreme(call, at::maximum); }
RunValues min(const OpCall& call) { return extreme(call, at::minimum); }
RunValues sum(const OpCall& call) { return fold(call, [](auto& a, auto& b) { return a + b; }); }

RunValues mean(const OpCall& call) {
  return {sum(call)[0].tensor / static_cast<double>(call.inputs.size())};
}

RunValues acos(const OpCall& call) { return unary(call, at::acos); }
RunValues acosh(const OpCall& call) { return unary(call, at::acosh); }
RunValues asin(const OpCall& call) { return unary(call, at::asin); }
RunValues asinh(const OpCall& call) { return unary(call, at::asinh); }
RunValues atan(const OpCall& call) { return unary(call, at::atan); }
RunValues atanh(const OpCall& call) { return unary(call, at::atanh); }
RunValues ceil(const OpCall& call) { return unary(call, at::ceil); }
RunValues cos(const OpCall& call) { return unary(call, at::cos); }
RunValues cosh(const OpCall& call) { return unary(call, at::cosh); }
RunValues erf(const OpCall& call) { return unary(call, at::erf); }
RunValues exp(const OpCall& call) { return unary(call, at::exp); }
RunValues floor(const OpCall& call) { return unary(call, at::floor); }
RunValues log(const OpCall& call) { return unary(call, at::log); }
RunValues neg(const OpCall& call) { return unary(call, at::neg); }
RunValues reciprocal(const OpCall& call) { return unary(call, at::reciprocal); }
RunValues sin(const OpCall& call) { return unary(call, at::sin); }
RunValues sinh(const OpCall& call) { return unary(call, at::sinh); }
RunValues sqrt(const OpCall& call) { return unary(call, at::sqrt); }
RunValues tan(const OpCall& call) { return unary(call, at::tan); }

// Half to even, as ATen.
RunValues round(const OpCall& call) {
  return unary(call, [](const Tensor& x) { return at::round(x); });
}

RunValues sign(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  if (is_unsigned(x)) return {widened(x).ne(0).to(x.scalar_type())};
  return {at::sign(x)};
}

RunValues is_nan(const OpCall& call) { return {at::isnan(widened(call.tensor(0)))}; }

RunValues is_inf(const OpCall& call) {
  const Tensor x = widened(call.tensor(0));
  const bool has_positive = call.attribute("detect_positive", 1) != 0;
  const bool has_negative = call.attribute("detect_negative", 1) != 0;
  if (has_positive && has_negative) return {at::isinf(x)};
  if (has_positive) return {at::isposinf(x)};
  return {has_negative ? at::isneginf(x) : at::zeros_like(x, at::kBool)};
}

RunValues and_(const OpCall& call) { return {at::logical_and(call.tensor(0), call.tensor(1))}; }
RunValues or_(const OpCall& call) { return {at::logical_or(call.tensor(0), call.tensor(1))}; }
RunValues xor_(const OpCall& call) { return {at::logical_xor(call.tensor(0), call.tensor(1))}; }
RunValues not_(const OpCall& call) { return {at::logical_not(call.tensor(0))}; }

RunValues greater(const OpCall& call) { return comparison(call, at::gt); }
RunValues greater_or_equal(const OpCall& call) { return comparison(call, at::ge); }
RunValues less(const OpCall& call) { return comparison(call, at::lt); }
RunValues less_or_equal(const OpCall& call) { return comparison(call, at::le); }

// Where each string of a value stands, [sizes], so that ATen can broadcast it.
Tensor positions(const RunValue& value) {
  const auto count = static_cast<int64_t>(value.strings->size());
  return at::arange(count, at::kLong).reshape(value.sizes);
}

RunValues equal(const OpCall& call) {
  if (!call.has(0) || !call.inputs[0].strings || !call.has(1) || !call.inputs[1].strings) {
    return comparison(call, at::eq);
  }
  const Strings &left = *call.inputs[0].strings, &right = *call.inputs[1].strings;
  const std::vector<Tensor> both =
      at::broadcast_tensors({positions(call.inputs[0]), positions(call.inputs[1])});
  const Tensor a = both[0].contiguous(), b = both[1].contiguous();
  Tensor result = at::empty(a.sizes(), at::kBool);
  for (int64_t i = 0; i < a.numel(); ++i) {
    result.mutable_data_ptr<bool>()[i] =
        left[a.const_data_ptr<int64_t>()[i]] == right[b.const_data_ptr<int64_t>()[i]];
  }
  return {result};
}

RunValues where_strings(const OpCall& call) {
  const Strings &yes = *call.inputs[1].strings, &no = *call.inputs[2].strings;
  const auto offset = static_cast<int64_t>(yes.size());
  const Tensor chosen = at::where(call.tensor(0).to(at::kCPU), positions(call.inputs[1]),
                                  positions(call.inputs[2]) + offset).contiguous();
  auto strings = std::make_shared<Strings>();
  for (int64_t i = 0; i < chosen.numel(); ++i) {
    const int64_t position = chosen.const_data_ptr<int64_t>()[i];
    strings->push_back(position < offset ? yes[position] : no[position - offset]);
  }
  RunValue result;
  result.dtype = DType::string;
  result.sizes = chosen.sizes().vec();
  result.strings = std::move(strings);
  return {result};
}

RunValues where(const OpCall& call) {
  if (call.has(1) && call.has(2) && call.inputs[1].strings && call.inputs[2].strings) {
    return where_strings(call);
  }
  const Tensor& x = call.tensor(1);
  const Tensor y = at::where(call.tensor(0), widened(x), widened(call.tensor(2)));
  return {RunValue(y.to(x.scalar_type()), call.inputs[1].dtype)};
}

RunValues bit_shift(const OpCall& call) {
  const std::string direction = string_attribute(call.node, "direction", "");
  if (direction != "LEFT" && direction != "RIGHT") {
    refuse(call, cat("direction '", printable(direction), "' is neither LEFT nor RIGHT"));
  }
  if (direction == "LEFT") return binary(call, at::bitwise_left_shift);
  if (is_uint64(call)) {
    return {uint64_loop(call.tensor(0), call.tensor(1),
                        [](auto a, auto b) { return b < 64 ? a >> b : uint64_t{0}; })};
  }
  return binary(call, at::bitwise_right_shift);
}

RunValues bitwise_and(const OpCall& call) { return binary(call, at::bitwise_and); }
RunValues bitwise_not(const OpCall& call) { return unary(call, at::bitwise_not); }
RunValues bitwise_or(const OpCall& call) { return binary(call, at::bitwise_or); }
RunValues bitwise_xor(const OpCall& call) { return binary(call, at::bitwise_xor); }

constexpr OpEntry kEntries[] = {
    {"", "Abs", abs},
    {"", "Acos", acos},
    {"", "Acosh", acosh},
    {"", "Add", add},
    {"", "And", and_},
    {"", "Asin", asin},
    {"", "Asinh", asinh},
    {"", "Atan", atan},
    {"", "Atanh", atanh},
    {"", "BitCast", bit_cast},
    {"", "BitShift", bit_shift},
    {"", "BitwiseAnd", bitwise_and},
    {"", "BitwiseNot", bitwise_not},
    {"", "BitwiseOr", bitwise_or},
    {"", "BitwiseXor", bitwise_xor},
    {"", "Cast", cast},
    {"", "CastLike", cast_like},
    {"", "Ceil", ceil},
    {"", "Cos", cos},
    {"", "Cosh", cosh},
    {"", "Div", div},
    {"", "Equal", equal},
    {"", "Erf", erf},
    {"", "Exp", exp},
    {"", "Floor", floor},
    {"", "Greater", greater},
    {"", "GreaterOrEqual", greater_or_equal},
    {"", "IsInf", is_inf},
    {"", "IsNaN", is_nan},
    {"", "Less", less},
    {"", "LessOrEqual", less_or_equal},
    {"", "Log", log},
    {"", "Max", max},
    {"", "Mean", mean},
    {"", "Min", min},
    {"", "Mod", mod},
    {"", "Mul", mul},
    {"", "Neg", neg},
    {"", "Not", not_},
    {"", "Or", or_},
    {"", "Pow", pow},
    {"", "Reciprocal", reciprocal},
    {"", "Round", round},
    {"", "Sign", sign},
    {"", "Sin", sin},
    {"", "Sinh", sinh},
    {"", "Sqrt", sqrt},
    {"", "Sub", sub},
    {"", "Sum", sum},
    {"", "Tan", tan},
    {"", "Where", where},
    {"", "Xor", xor_},
};

}  // namespace

std::span<const OpEntry> elementwise_ops() { return kEntries; }

}  // namespace niwaki
