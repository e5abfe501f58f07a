#pragma once

#include "tests/graph_builder.h"

#include <random>

namespace niwaki {

/// Builds a random graph from all families of operators that have a rule for their axes.
class RandomGraph {
 public:
  using Ints = std::vector<int64_t>;
  struct Built {
    Graph graph;
    std::vector<Tensor> inputs;
    std::string story;                       // the blocks, for messages
  };

  explicit RandomGraph(uint64_t seed, bool with_norms) : random_(seed), with_norms_(with_norms), b_(with_norms ? 21 : 17) {
    dtype_ = below(2) == 0 ? DType::float64 : DType::float32;
  }

  Built build() {
    const bool is_image = below(2) == 0;
    if (is_image) image();
    else sequence();
    b_.output(h_, "y");
    return {b_.graph(), {input_}, (dtype_ == DType::float64 ? "float64" : "float32") + story_};
  }
  bool is_double() const { return dtype_ == DType::float64; }

 private:
  int64_t below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  std::string name(const char* base) { return base + std::to_string(++count_); }
  Tensor typed(const Tensor& x) const { return is_double() ? x.to(at::kDouble) : x; }
  ValueId weight(Ints sizes, double scale = 0.5) { return b_.constant(name("w"), typed(random_tensor(std::move(sizes), random_()) * scale)); }
  ValueId positive(Ints sizes) { return b_.constant(name("p"), typed(random_tensor(std::move(sizes), random_()).abs() + 0.5)); }
  ValueId scalar(double number) { return b_.constant(name("s"), typed(at::scalar_tensor(number, at::kFloat))); }
  ValueId ints(Ints numbers) { return b_.constant(name("i"), at::tensor(numbers, at::kLong)); }
  ValueId node(const std::string& op, std::vector<ValueId> inputs, std::map<std::string, Attribute> attributes = {}) {
    return b_.node(op, std::move(inputs), std::move(attributes), name(op.c_str()));
  }
  ValueId last(ValueId x, const char* op) { return node(op, {x}); }
  ValueId activation(ValueId x) {
    static const char* ops[] = {"Relu", "Tanh", "Sigmoid", "LeakyRelu", "Softplus", "Elu", "Erf", "Abs", "Identity"};
    return last(x, ops[below(9)]);
  }
  ValueId zero_dims(ValueId x) {             // a target shape that the graph computes: the batch, the rest as numbers
    const ValueId all = node("Shape", {x});
    return node("Unsqueeze", {node("Gather", {all, b_.constant(name("i"), at::scalar_tensor(0, at::kLong))}, {{"axis", int64_t{0}}}), ints({0})});
  }
  /// Reshape to [batch, rest...], with a constant target, 0 or -1 in it, or one that is computed.
  ValueId reshaped(ValueId x, Ints rest) {
    Ints target = rest;
    const int64_t how = below(3);
    if (how == 2) {
      if (below(2) == 0) target[static_cast<size_t>(below(static_cast<int64_t>(rest.size())))] = -1;
      return node("Reshape", {x, node("Concat", {zero_dims(x), ints(target)}, {{"axis", int64_t{0}}})});
    }
    target.insert(target.begin(), how == 0 ? 2 : 0);
    return node("Reshape", {x, ints(target)});
  }

  /// Axes are an input from opset 18 on.
  ValueId reduced(const char* op, ValueId x, Ints axes, int64_t keepdims) {
    if (with_norms_) return node(op, {x, ints(axes)}, {{"keepdims", keepdims}});
    return node(op, {x}, {{"axes", axes}, {"keepdims", keepdims}});
  }

  // ---- images [2, c_, s_, s_] ----
  ValueId conv(ValueId x, int64_t from, int64_t to, int64_t kernel = 1, int64_t groups = 1) {
    const int64_t pad = kernel / 2;
    std::vector<ValueId> inputs{x, weight({to, from / groups, kernel, kernel})};
    if (below(3) != 0) inputs.push_back(weight({to}));
    return node("Conv", inputs, {{"group", groups}, {"pads", Ints{pad, pad, pad, pad}}});
  }
  void note(const std::string& text) { story_ += " " + text; }

  void image() {
    c_ = 3 + below(6);
    s_ = 4;
    input_ = typed(random_tensor({2, 3, s_, s_}, random_()));
    const bool is_symbolic = below(2) == 0;
    h_ = b_.input("x", {is_symbolic ? Dim("N") : Dim(int64_t{2}), int64_t{3}, s_, s_}, dtype_);
    h_ = conv(h_, 3, c_, 3);
    const int64_t blocks = 2 + below(4);
    for (int64_t i = 0; i < blocks; ++i) image_block(below(31));
    image_end();
  }
  void image_end() {
    const int64_t how = below(4);
    if (how == 0) h_ = conv(h_, c_, 3);
    if (how == 1) h_ = node("MatMul", {reshaped(h_, {c_ * s_ * s_}), weight({c_ * s_ * s_, 3})});
    if (how == 2) {
      const ValueId nhwc = node("Transpose", {h_}, {{"perm", Ints{0, 2, 3, 1}}});
      h_ = node("Gemm", {node("Flatten", {nhwc}), weight({3, c_ * s_ * s_}), weight({3})}, {{"transB", int64_t{1}}});
    }
    if (how == 3) h_ = node("Gemm", {node("Flatten", {last(h_, "GlobalAveragePool")}), weight({c_, 3}), weight({1, 3})});
    note("end " + std::to_string(how));
  }
  void widen(int64_t to) {
    if (c_ != to) h_ = conv(h_, c_, to);
    c_ = to;
  }

  void image_block(int64_t kind) {
    note(std::to_string(kind));
    switch (kind) {
      case 0: { const int64_t to = 3 + below(6); h_ = activation(conv(h_, c_, to, 3)); c_ = to; break; }
      case 1: { widen(6); const int64_t to = 4 + 2 * below(3); h_ = conv(h_, 6, to, 3, 2); c_ = to; break; }
      case 2: { const int64_t m = 1 + below(2); h_ = conv(h_, c_, c_ * m, 3, c_); c_ *= m; widen(3 + below(5)); break; }
      case 3: { const int64_t to = 3 + below(4); h_ = node("ConvTranspose", {h_, weight({c_, to, 1, 1}), weight({to})}); c_ = to; break; }
      case 4: widen(6); h_ = node("ConvTranspose", {h_, weight({6, 4, 1, 1}), weight({8})}, {{"group", int64_t{2}}}); c_ = 8; break;
      case 5: h_ = node("ConvTranspose", {h_, weight({c_, 1, 1, 1})}, {{"group", c_}}); break;
      case 6: h_ = node("BatchNormalization", {h_, weight({c_}), weight({c_}), weight({c_}), positive({c_})}); break;
      case 7: h_ = node("InstanceNormalization", {h_, weight({c_}), weight({c_})}); break;
      case 8: h_ = node("PRelu", {h_, below(2) ? weight({c_, 1, 1}) : weight({1})}); break;
      case 9: h_ = node("Add", {h_, activation(conv(h_, c_, c_, 3))}); break;
      case 10: {                             // squeeze and excite
        const ValueId squeezed = activation(conv(last(h_, "GlobalAveragePool"), c_, 4));
        h_ = node("Mul", {h_, last(conv(squeezed, 4, c_), "Sigmoid")});
        break;
      }
      case 11: h_ = node("Concat", {h_, conv(h_, c_, 4), h_}, {{"axis", below(2) ? int64_t{1} : int64_t{-3}}}); c_ = 2 * c_ + 4; widen(3 + below(6)); break;
      case 12: {
        const int64_t first = 1 + below(c_ - 1);
        const auto parts = b_.node_with_outputs("Split", {h_, ints({first, c_ - first})}, 2, {{"axis", int64_t{1}}});
        h_ = node("Concat", {parts[1], activation(parts[0])}, {{"axis", int64_t{1}}});
        break;
      }
      case 13: h_ = node("Slice", {h_, ints({1}), ints({below(2) ? c_ : INT64_MAX}), ints({1})}); c_ -= 1; widen(3 + below(5)); break;
      case 14: widen(7); h_ = node("Slice", {h_, ints({6}), ints({INT64_MIN}), ints({1}), ints({-2})}); c_ = 4; break;
      case 15: widen(7); h_ = node("Slice", {h_, ints({0}), ints({7}), ints({-3}), ints({2})}); c_ = 4; break;
      case 16: {
        Ints order(static_cast<size_t>(c_));
        for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
        std::shuffle(order.begin(), order.end(), random_);
        h_ = node("Gather", {h_, ints(order)}, {{"axis", int64_t{1}}});
        break;
      }
      case 17: {                             // channel shuffle
        widen(6);
        const ValueId split = reshaped(h_, {2, 3, s_, s_});
        h_ = reshaped(node("Transpose", {split}, {{"perm", Ints{0, 2, 1, 3, 4}}}), {6, s_, s_});
        h_ = conv(h_, 6, 6, 3, below(2) ? 6 : 3);
        break;
      }
      case 18: h_ = node("Pad", {h_, ints({0, 1, 0, 0, 0, 2, 0, 0}), scalar(0.25)}); c_ += 3; widen(3 + below(5)); break;
      case 19: widen(8); h_ = node("DepthToSpace", {h_}, {{"blocksize", int64_t{2}}, {"mode", std::string(below(2) ? "CRD" : "DCR")}});
        c_ = 2; s_ *= 2; h_ = node("AveragePool", {h_}, {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}}); s_ /= 2; widen(5); break;
      case 20: h_ = node("SpaceToDepth", {h_}, {{"blocksize", int64_t{2}}}); c_ *= 4; s_ /= 2; widen(4 + below(4));
        h_ = node("Resize", {h_, ValueId::absent, b_.constant(name("sc"), at::tensor({1.0F, 1.0F, 2.0F, 2.0F}))}, {{"mode", std::string("nearest")}}); s_ *= 2; break;
      case 21: h_ = node("MaxPool", {h_}, {{"kernel_shape", Ints{3, 3}}, {"pads", Ints{1, 1, 1, 1}}}); break;
      case 22: {                             // NHWC
        const ValueId nhwc = node("Transpose", {h_}, {{"perm", Ints{0, 2, 3, 1}}});
        const ValueId mixed = node("Add", {node("MatMul", {nhwc, weight({c_, 5})}), weight({5})});
        h_ = node("Transpose", {activation(mixed)}, {{"perm", Ints{0, 3, 1, 2}}});
        c_ = 5;
        break;
      }
      case 23: h_ = node("Where", {node("Greater", {h_, weight({c_, 1, 1})}), h_, weight({c_, 1, 1})}); break;
      case 24: h_ = node("Max", {node("Min", {h_, positive({1, c_, 1, 1})}), weight({c_, 1, 1})}); break;
      case 25: h_ = node("Tile", {h_, ints({1, 2, 1, 1})}); c_ *= 2; widen(3 + below(5)); break;
      case 26: {
        const ValueId size = reduced("ReduceL2", h_, {2, 3}, 1);
        h_ = node("Div", {h_, node("Add", {size, scalar(1)})});
        break;
      }
      case 27: h_ = node("Einsum", {h_, weight({4, c_})}, {{"equation", std::string("nchw,oc->nohw")}}); c_ = 4; break;
      case 28: h_ = below(2) ? node("Softmax", {h_}, {{"axis", int64_t{1}}}) : node("LRN", {h_}, {{"size", int64_t{3}}}); widen(3 + below(5)); break;
      case 29: gated_norm(); break;
      case 30: {                             // 8-bit activations, a scale per channel; the operators know float32 alone
        if (is_double()) break;
        const std::vector<ValueId> grid{positive({c_}), b_.constant(name("z"), at::zeros({c_}, at::kChar))};
        const ValueId codes = node("QuantizeLinear", {h_, grid[0], grid[1]}, {{"axis", int64_t{1}}});
        h_ = node("DequantizeLinear", {codes, grid[0], grid[1]}, {{"axis", int64_t{1}}});
        break;
      }
      default: break;
    }
  }
  /// GroupNormalization, or a scale, expanded from one number, in its place.
  void gated_norm() {
    if (with_norms_) {
      widen(6);
      h_ = node("GroupNormalization", {h_, weight({6}), weight({6})}, {{"num_groups", int64_t{2}}});
      return;
    }
    const ValueId ones = node("Expand", {scalar(1.5), node("Concat", {ints({c_, 1}), ints({1})}, {{"axis", int64_t{0}}})});
    h_ = node("Mul", {node("Cast", {node("Cast", {h_}, {{"to", int64_t{11}}})}, {{"to", static_cast<int64_t>(dtype_)}}), ones});
  }

  // ---- sequences [2, t_, c_] ----
  ValueId linear(ValueId x, int64_t from, int64_t to) {
    const ValueId product = below(4) == 0 ? node("Einsum", {x, weight({from, to})}, {{"equation", std::string("btc,co->bto")}})
                                          : node("MatMul", {x, weight({from, to})});
    return below(3) == 0 ? product : node("Add", {product, weight({to})});
  }
  void sequence() {
    c_ = 4 + below(5);
    t_ = 3;
    input_ = typed(random_tensor({2, t_, 4}, random_()));
    const int64_t symbols = below(3);
    h_ = b_.input("x", {symbols > 0 ? Dim("B") : Dim(int64_t{2}), symbols > 1 ? Dim("T") : Dim(t_), int64_t{4}}, dtype_);
    knows_t_ = symbols < 2;
    h_ = linear(h_, 4, c_);
    const int64_t blocks = 2 + below(3);
    for (int64_t i = 0; i < blocks; ++i) sequence_block(below(16));
    const int64_t how = below(3);
    if (how == 0) h_ = linear(h_, c_, 3);
    if (how == 1) h_ = node("MatMul", {reduced("ReduceMean", h_, {1}, 0), weight({c_, 3})});
    if (how == 2) h_ = knows_t_ ? node("MatMul", {reshaped(h_, {t_ * c_}), weight({t_ * c_, 3})}) : linear(h_, c_, 2);
    note("end " + std::to_string(how));
  }

  /// [B, T, heads * d] to [B, heads, T, d].
  ValueId heads(ValueId x, int64_t count, int64_t d) {
    const ValueId split = knows_t_ && below(2) ? reshaped(x, {t_, count, d}) : node("Reshape", {x, ints({0, -1, count, d})});
    return node("Transpose", {split}, {{"perm", Ints{0, 2, 1, 3}}});
  }
  ValueId repeated(ValueId x, int64_t count, int64_t times, int64_t d) {
    if (times == 1) return x;
    const ValueId wide = node("Expand", {node("Unsqueeze", {x, ints({2})}), ints({1, 1, times, 1, 1})});
    return node("Reshape", {wide, ints({0, count * times, knows_t_ ? t_ : -1, d})});
  }
  ValueId attention(int64_t count, int64_t groups, int64_t d, bool is_packed) {
    ValueId q, k, v;
    if (is_packed) {
      groups = count;
      const ValueId all = linear(h_, c_, 3 * count * d);
      const auto parts = b_.node_with_outputs("Split", {all, ints({count * d, count * d, count * d})}, 3, {{"axis", int64_t{-1}}});
      q = parts[0], k = parts[1], v = parts[2];
    } else {
      q = linear(h_, c_, count * d), k = linear(h_, c_, groups * d), v = linear(h_, c_, groups * d);
    }
    const ValueId keys = repeated(heads(k, groups, d), groups, count / groups, d), numbers = repeated(heads(v, groups, d), groups, count / groups, d);
    ValueId queries = heads(q, count, d);
    if (below(4) == 0) queries = turned(queries, d);
    const ValueId scores = node("MatMul", {queries, node("Transpose", {keys}, {{"perm", Ints{0, 1, 3, 2}}})});
    const ValueId shares = node("Softmax", {node("Mul", {scores, scalar(0.5)})}, {{"axis", int64_t{-1}}});
    const ValueId mixed = node("Transpose", {node("MatMul", {shares, numbers})}, {{"perm", Ints{0, 2, 1, 3}}});
    const ValueId flat = below(2) ? node("Reshape", {mixed, ints({0, knows_t_ ? t_ : -1, count * d})}) : node("Reshape", {mixed, ints({0, 0, -1})});
    return linear(flat, count * d, c_);
  }
  /// Rotary positions: x * cos + rotate_half(x) * sin.
  ValueId turned(ValueId x, int64_t d) {
    const ValueId low = node("Slice", {x, ints({0}), ints({d / 2}), ints({3})}), high = node("Slice", {x, ints({d / 2}), ints({d}), ints({3})});
    const ValueId half = node("Concat", {last(high, "Neg"), low}, {{"axis", int64_t{-1}}});
    note("rotary");
    return node("Add", {node("Mul", {x, weight({1, d})}), node("Mul", {half, weight({1, d})})});
  }
  void recurrent(const char* op, int64_t gates) {
    const int64_t units = 4, directions = 1 + below(2);
    const ValueId turned = node("Transpose", {h_}, {{"perm", Ints{1, 0, 2}}});
    std::vector<ValueId> inputs{turned, weight({directions, gates * units, c_}), weight({directions, gates * units, units})};
    if (below(2)) inputs.push_back(weight({directions, 2 * gates * units}));
    const ValueId y = node(op, inputs, {{"hidden_size", units}, {"direction", std::string(directions == 2 ? "bidirectional" : "forward")}});
    if (directions == 1) {
      h_ = node("Transpose", {node("Squeeze", {y, ints({1})})}, {{"perm", Ints{1, 0, 2}}});
    } else {
      h_ = node("Reshape", {node("Transpose", {y}, {{"perm", Ints{2, 0, 1, 3}}}), ints({0, 0, 2 * units})});
    }
    c_ = units * directions;
  }
  /// Root mean square, or layer norm, in single operators.
  ValueId decomposed_norm(ValueId x) {
    const auto mean = [&](ValueId v) {
      return reduced("ReduceMean", v, {-1}, 1);
    };
    if (below(2)) x = node("Sub", {x, mean(x)});
    const ValueId square = below(2) ? node("Mul", {x, x}) : node("Pow", {x, scalar(2)});
    const ValueId size = last(node("Add", {mean(square), scalar(1e-3)}), "Sqrt");
    const ValueId y = below(2) ? node("Div", {x, size}) : node("Mul", {x, node("Div", {scalar(1), size})});
    return node("Mul", {y, weight({c_})});
  }

  void sequence_block(int64_t kind) {
    note(std::to_string(kind));
    switch (kind) {
      case 0: { const int64_t to = 3 + below(6); h_ = activation(linear(h_, c_, to)); c_ = to; break; }
      case 1: {                              // gated MLP
        const ValueId gate = linear(h_, c_, 6), up = linear(h_, c_, 6);
        h_ = node("Add", {h_, linear(node("Mul", {node("Mul", {gate, last(gate, "Sigmoid")}), up}), 6, c_)});
        break;
      }
      case 2: h_ = node("Add", {h_, attention(2, 2, 4, false)}); break;
      case 3: h_ = node("Add", {h_, attention(4, 2, 2, false)}); break;
      case 4: h_ = node("Add", {h_, attention(3, 3, 4, true)}); break;
      case 5: recurrent("LSTM", 4); break;
      case 6: recurrent("GRU", 3); break;
      case 7: recurrent("RNN", 1); break;
      case 8: if (knows_t_) h_ = node("MatMul", {weight({t_, t_}), h_}); break;
      case 9: h_ = node("CumSum", {h_, b_.constant(name("i"), at::scalar_tensor(1, at::kLong))}); break;
      case 10: h_ = with_norms_ ? decomposed_norm(h_) : activation(h_); break;
      case 11: h_ = node("LayerNormalization", {h_, weight({c_}), weight({c_})}, {{"axis", int64_t{-1}}}); break;
      case 12: if (knows_t_) h_ = node("Add", {h_, weight({t_, c_})}); break;
      case 13: {                             // zeros of the right shape, as exporters write class tokens
        const ValueId shape = node("Concat", {zero_dims(h_), ints({1, c_})}, {{"axis", int64_t{0}}});
        const ValueId zeros = node("ConstantOfShape", {shape}, {{"value", make_constant(typed(at::zeros({1})))}});
        h_ = node("Concat", {node("Add", {zeros, weight({c_})}), h_}, {{"axis", int64_t{1}}});
        t_ += 1;
        break;
      }
      case 14: h_ = node("Softmax", {h_}, {{"axis", int64_t{-1}}}); break;
      case 15: {                             // a Split without sizes stays even
        const ValueId wide = linear(h_, c_, 6);
        const auto parts = with_norms_ ? b_.node_with_outputs("Split", {wide}, 2, {{"axis", int64_t{2}}, {"num_outputs", int64_t{2}}})
                                       : b_.node_with_outputs("Split", {wide}, 2, {{"axis", int64_t{2}}});
        h_ = node("Mul", {parts[0], last(parts[1], "Sigmoid")});
        c_ = 3;
        break;
      }
      default: break;
    }
  }

  std::mt19937_64 random_;
  bool with_norms_;                          // opset 21: norms over channels
  GraphBuilder b_;
  DType dtype_;
  Tensor input_;
  ValueId h_ = ValueId::absent;
  int64_t c_ = 0, s_ = 0, t_ = 0;
  bool knows_t_ = true;
  int count_ = 0;
  std::string story_;
};

}  // namespace niwaki
