#include "compress/ops/op_arguments.h"

#include <algorithm>

namespace niwaki {
namespace {

using Activation = std::function<Tensor(const Tensor&)>;

/// Reads the activations of all directions; alpha and beta are used up in order by those that have them.
class ActivationReader {
 public:
  explicit ActivationReader(const OpCall& call) : call_(call) {
    const auto lists = [&call](const char* name) {
      const auto found = call.node.attributes.find(name);
      const auto* given = found == call.node.attributes.end() ? nullptr : std::get_if<std::vector<float>>(&found->second);
      return given == nullptr ? std::vector<float>{} : *given;
    };
    alphas_ = lists("activation_alpha");
    betas_ = lists("activation_beta");
  }

  Activation read(std::string name) {
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (name == "sigmoid") return [](const Tensor& x) { return at::sigmoid(x); };
    if (name == "tanh") return [](const Tensor& x) { return at::tanh(x); };
    if (name == "relu") return [](const Tensor& x) { return at::relu(x); };
    if (name == "softsign") return [](const Tensor& x) { return x / (1 + x.abs()); };
    if (name == "softplus") return [](const Tensor& x) { return at::softplus(x); };
    if (name == "leakyrelu") return [a = alpha(0.01)](const Tensor& x) { return at::leaky_relu(x, a); };
    if (name == "thresholdedrelu") return [a = alpha(1.0)](const Tensor& x) { return at::threshold(x, a, 0); };
    if (name == "elu") return [a = alpha(1.0)](const Tensor& x) { return at::elu(x, a); };
    if (name == "affine") return [a = alpha(1.0), b = beta(0.0)](const Tensor& x) { return x * a + b; };
    if (name == "scaledtanh") return [a = alpha(1.0), b = beta(1.0)](const Tensor& x) { return at::tanh(x * b) * a; };
    if (name == "hardsigmoid") return [a = alpha(0.2), b = beta(0.5)](const Tensor& x) { return (x * a + b).clamp(0, 1); };
    refuse(call_, cat("unknown activation '", printable(name), "'"));
  }

 private:
  double alpha(double otherwise) { return next_alpha_ < alphas_.size() ? alphas_[next_alpha_++] : otherwise; }
  double beta(double otherwise) { return next_beta_ < betas_.size() ? betas_[next_beta_++] : otherwise; }

  const OpCall& call_;
  std::vector<float> alphas_, betas_;
  size_t next_alpha_ = 0, next_beta_ = 0;
};

/// One direction of a layer; gates are stacked in ONNX's order.
struct Direction {
  std::vector<Activation> activations;
  Tensor w, r, w_bias, r_bias;       // [gates * hidden, input], [gates * hidden, hidden], [gates * hidden]
  Tensor peepholes;                  // [3 * hidden] or undefined
  double clip = 0;                   // 0: none
  int64_t hidden = 0;
  bool input_forget = false, linear_before_reset = false;

  Tensor clipped(const Tensor& x) const { return clip > 0 ? x.clamp(-clip, clip) : x; }
  Tensor act(size_t i, const Tensor& x) const { return activations[i](clipped(x)); }
};

struct State {
  Tensor h, c;                       // [batch, hidden]; c only of an LSTM
};

/// What the inputs contribute to the gates at all steps, in one product: [steps, batch, gates * hidden].
using Prepare = Tensor (*)(const Direction&, const Tensor& x);
using Step = State (*)(const Direction&, const Tensor& projected, const State&, const Tensor& r_transposed);

Tensor prepare_all(const Direction& d, const Tensor& x) { return at::linear(x, d.w, d.w_bias + d.r_bias); }

State rnn_step(const Direction& d, const Tensor& projected, const State& state, const Tensor& rt) {
  return {d.act(0, at::addmm(projected, state.h, rt)), {}};
}

State lstm_step(const Direction& d, const Tensor& projected, const State& state, const Tensor& rt) {
  const std::vector<Tensor> gates = at::addmm(projected, state.h, rt).chunk(4, 1);     // i, o, f, c
  const Tensor& p = d.peepholes;
  const auto peep = [&](int64_t i, const Tensor& gate, const Tensor& cell) {
    return p.defined() ? gate + p.narrow(0, i * d.hidden, d.hidden) * cell : gate;
  };
  const Tensor i = d.act(0, peep(0, gates[0], state.c));
  const Tensor f = d.input_forget ? 1 - i : d.act(0, peep(2, gates[2], state.c));
  const Tensor c = at::addcmul(f * state.c, i, d.act(1, gates[3]));
  const Tensor o = d.act(0, peep(1, gates[1], c));
  return {o * d.activations[2](c), c};
}

/// The recurrent bias of the hidden gate stays inside the reset product when linear_before_reset is set.
Tensor prepare_gru(const Direction& d, const Tensor& x) {
  if (!d.linear_before_reset) return prepare_all(d, x);
  const Tensor inner = at::cat({d.r_bias.narrow(0, 0, 2 * d.hidden), at::zeros({d.hidden}, d.r_bias.options())});
  return at::linear(x, d.w, d.w_bias + inner);
}

State gru_step(const Direction& d, const Tensor& projected, const State& state, const Tensor& rt) {
  const int64_t n = d.hidden;
  const Tensor x_zr = projected.narrow(1, 0, 2 * n), x_h = projected.narrow(1, 2 * n, n);
  if (d.linear_before_reset) {
    const Tensor recurrent = at::mm(state.h, rt);
    const std::vector<Tensor> zr = d.act(0, x_zr + recurrent.narrow(1, 0, 2 * n)).chunk(2, 1);
    const Tensor inner = recurrent.narrow(1, 2 * n, n) + d.r_bias.narrow(0, 2 * n, n);
    const Tensor h = d.act(1, at::addcmul(x_h, zr[1], inner));
    return {h + zr[0] * (state.h - h), {}};
  }
  const std::vector<Tensor> zr = d.act(0, at::addmm(x_zr, state.h, rt.narrow(1, 0, 2 * n))).chunk(2, 1);
  const Tensor h = d.act(1, at::addmm(x_h, zr[1] * state.h, rt.narrow(1, 2 * n, n)));
  return {h + zr[0] * (state.h - h), {}};
}

struct Cell {
  int64_t gates;
  std::vector<std::string> activations;
  Prepare prepare;
  Step step;
};

struct Run {
  Tensor y;                          // [steps, batch, hidden]
  State last;
};

/// Runs one direction over x [steps, batch, input]; `length` [batch] is undefined when all are full.
Run run_direction(const Cell& cell, const Direction& d, const Tensor& x, State state, const Tensor& length, bool is_reverse) {
  const int64_t steps = x.size(0);
  std::vector<Tensor> projected;
  if (steps > 0) projected = cell.prepare(d, x).unbind(0);
  const Tensor rt = d.r.t();
  std::vector<Tensor> outputs(static_cast<size_t>(steps));
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = is_reverse ? steps - 1 - i : i;
    State next = cell.step(d, projected[static_cast<size_t>(t)], state, rt);
    outputs[static_cast<size_t>(t)] = next.h;
    if (length.defined()) {
      const Tensor live = (length > t).unsqueeze(1);             // [batch, 1]
      outputs[static_cast<size_t>(t)] = at::where(live, next.h, at::zeros_like(next.h));
      next.h = at::where(live, next.h, state.h);
      if (next.c.defined()) next.c = at::where(live, next.c, state.c);
    }
    state = std::move(next);
  }
  const Tensor y = steps > 0 ? at::stack(outputs) : at::empty({0, x.size(1), d.hidden}, x.options());
  return {y, state};
}

Direction read_direction(const OpCall& call, const Cell& cell, int64_t index, int64_t hidden) {
  Direction d;
  d.hidden = hidden;
  d.clip = float_attribute(call.node, "clip", 0.0F);
  d.input_forget = call.attribute("input_forget", 0) != 0;
  d.linear_before_reset = call.attribute("linear_before_reset", 0) != 0;
  d.w = call.tensor(1)[index];
  d.r = call.tensor(2)[index];
  const Tensor bias = call.has(3) ? call.tensor(3)[index] : at::zeros({2 * cell.gates * hidden}, d.w.options());
  d.w_bias = bias.narrow(0, 0, cell.gates * hidden);
  d.r_bias = bias.narrow(0, cell.gates * hidden, cell.gates * hidden);
  if (cell.gates == 4 && call.has(7)) d.peepholes = call.tensor(7)[index];
  return d;
}

void check(const OpCall& call, const Cell& cell, int64_t directions, int64_t hidden, const Tensor& x) {
  const auto expect = [&](size_t i, at::IntArrayRef sizes) {
    if (call.has(i) && call.tensor(i).sizes() != sizes) {
      refuse(call, cat("input ", i, " has sizes ", shape_text(call.tensor(i).sizes()), " instead of ", shape_text(sizes)));
    }
  };
  if (x.dim() != 3) refuse(call, cat("input 0 has rank ", x.dim(), " instead of 3"));
  expect(1, {directions, cell.gates * hidden, x.size(2)});
  expect(2, {directions, cell.gates * hidden, hidden});
  expect(3, {directions, 2 * cell.gates * hidden});
  expect(4, {x.size(1)});
  if (cell.gates == 4) expect(7, {directions, 3 * hidden});
}

std::vector<std::string> activation_names(const OpCall& call, const Cell& cell, int64_t directions) {
  const auto found = call.node.attributes.find("activations");
  const Strings* given = found == call.node.attributes.end() ? nullptr : std::get_if<Strings>(&found->second);
  std::vector<std::string> names = given == nullptr ? Strings{} : *given;
  const size_t wanted = cell.activations.size() * static_cast<size_t>(directions);
  if (names.empty()) {
    while (names.size() < wanted) names.insert(names.end(), cell.activations.begin(), cell.activations.end());
  }
  if (names.size() < wanted) refuse(call, cat(names.size(), " activations instead of ", wanted));
  return names;
}

/// [directions, batch, hidden] of input i, or zeros.
Tensor initial_state(const OpCall& call, size_t i, at::IntArrayRef sizes, const Tensor& like, bool is_batch_first) {
  if (!call.has(i)) return at::zeros(sizes, like.options());
  const Tensor state = is_batch_first ? call.tensor(i).transpose(0, 1) : call.tensor(i);
  if (state.sizes() != sizes) refuse(call, cat("input ", i, " has sizes ", shape_text(call.tensor(i).sizes())));
  return state;
}

RunValues run_layer(const OpCall& call, const Cell& cell) {
  const bool is_batch_first = call.attribute("layout", 0) != 0;
  const Tensor x = is_batch_first ? call.tensor(0).transpose(0, 1) : call.tensor(0);   // [steps, batch, input]
  const std::string way = string_attribute(call.node, "direction", "forward");
  if (way != "forward" && way != "reverse" && way != "bidirectional") refuse(call, cat("unknown direction '", printable(way), "'"));
  const int64_t directions = way == "bidirectional" ? 2 : 1;
  if (call.tensor(2).dim() != 3) refuse(call, "the recurrence weight is not of rank 3");
  const int64_t hidden = call.attribute("hidden_size", call.tensor(2).size(2));
  check(call, cell, directions, hidden, x);
  const Tensor length = call.has(4) ? call.tensor(4).to(at::kLong) : Tensor();
  const std::vector<int64_t> state_sizes{directions, x.size(1), hidden};
  const Tensor h = initial_state(call, 5, state_sizes, x, is_batch_first);
  const Tensor c = cell.gates == 4 ? initial_state(call, 6, state_sizes, x, is_batch_first) : Tensor();
  ActivationReader reader(call);
  const std::vector<std::string> names = activation_names(call, cell, directions);
  std::vector<Tensor> y, last_h, last_c;
  for (int64_t i = 0; i < directions; ++i) {
    Direction d = read_direction(call, cell, i, hidden);
    for (size_t k = 0; k < cell.activations.size(); ++k) {
      d.activations.push_back(reader.read(names[static_cast<size_t>(i) * cell.activations.size() + k]));
    }
    const Run run = run_direction(cell, d, x, {h[i], c.defined() ? c[i] : Tensor()}, length, way == "reverse" || i == 1);
    y.push_back(run.y);
    last_h.push_back(run.last.h);
    if (c.defined()) last_c.push_back(run.last.c);
  }
  const auto stacked = [is_batch_first](const std::vector<Tensor>& states) { return at::stack(states, is_batch_first ? 1 : 0); };
  const Tensor all = at::stack(y, 1);            // [steps, directions, batch, hidden]
  RunValues outputs{is_batch_first ? all.permute({2, 0, 1, 3}) : all, stacked(last_h)};
  if (c.defined()) outputs.emplace_back(stacked(last_c));
  return outputs;
}

RunValues gru(const OpCall& call) {
  static const Cell cell{3, {"Sigmoid", "Tanh"}, prepare_gru, gru_step};
  return run_layer(call, cell);
}

RunValues lstm(const OpCall& call) {
  static const Cell cell{4, {"Sigmoid", "Tanh", "Tanh"}, prepare_all, lstm_step};
  return run_layer(call, cell);
}

RunValues rnn(const OpCall& call) {
  static const Cell cell{1, {"Tanh"}, prepare_all, rnn_step};
  return run_layer(call, cell);
}

}  // namespace

std::span<const OpEntry> recurrent_ops() {
  static const OpEntry entries[] = {{"", "GRU", gru}, {"", "LSTM", lstm}, {"", "RNN", rnn}};
  return entries;
}

}  // namespace niwaki
