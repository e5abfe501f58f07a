#include "compress/ops/window.h"

#include "compress/error.h"
#include "compress/ops/numeric.h"

namespace niwaki {
namespace {

void read_pads(const OpCall& call, size_t rank, Window& window) {
  const std::vector<int64_t> pads = ints_or(call, "pads", 2 * rank, 0);
  window.begin.assign(pads.begin(), pads.begin() + rank);
  window.end.assign(pads.begin() + rank, pads.end());
}

int64_t span_of(const Window& window, size_t i) {
  return (window.kernel[i] - 1) * window.dilations[i] + 1;
}

// SAME_UPPER puts the odd element behind, SAME_LOWER before.
void pad_same(Window& window, std::span<const int64_t> sizes, bool is_upper) {
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int64_t outputs = (sizes[i] + window.strides[i] - 1) / window.strides[i];
    const int64_t total =
        std::max<int64_t>(0, (outputs - 1) * window.strides[i] + span_of(window, i) - sizes[i]);
    const int64_t half = total / 2;
    window.begin[i] = is_upper ? half : total - half;
    window.end[i] = total - window.begin[i];
  }
}

void count_outputs(const OpCall& call, Window& window, std::span<const int64_t> sizes) {
  const bool is_ceil = call.attribute("ceil_mode", 0) != 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int64_t stride = window.strides[i];
    const int64_t room = sizes[i] + window.begin[i] + window.end[i] - span_of(window, i);
    if (room < 0 && !is_ceil) {
      refuse(call, cat("a window of ", span_of(window, i), " does not fit spatial axis ", i,
                       " of size ", sizes[i]));
    }
    int64_t outputs = room / stride + 1;
    if (is_ceil) {
      outputs = (std::max<int64_t>(room, 0) + stride - 1) / stride + 1;
      // the last window has to start within the input or the padding before it
      if ((outputs - 1) * stride >= sizes[i] + window.begin[i]) --outputs;
    }
    window.outputs.push_back(outputs);
    window.extension.push_back(std::max<int64_t>(0, (outputs - 1) * stride - room));
  }
}

}  // namespace

Window read_window(const OpCall& call, std::span<const int64_t> sizes,
                   std::vector<int64_t> kernel) {
  const size_t rank = sizes.size();
  if (kernel.size() != rank) {
    refuse(call, cat("kernel ", shape_text(kernel), " for ", rank, " spatial axes"));
  }
  Window window;
  window.kernel = std::move(kernel);
  window.strides = ints_or(call, "strides", rank, 1);
  window.dilations = ints_or(call, "dilations", rank, 1);
  for (size_t i = 0; i < rank; ++i) {
    if (window.strides[i] < 1 || window.dilations[i] < 1 || window.kernel[i] < 1) {
      refuse(call, cat("kernel ", shape_text(window.kernel), ", strides ",
                       shape_text(window.strides), " and dilations ",
                       shape_text(window.dilations), " must be positive"));
    }
  }
  const std::string auto_pad = string_attribute(call.node, "auto_pad", "NOTSET");
  window.begin.assign(rank, 0);
  window.end.assign(rank, 0);
  if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
    pad_same(window, sizes, auto_pad == "SAME_UPPER");
  } else if (auto_pad == "NOTSET" || auto_pad.empty()) {
    read_pads(call, rank, window);
  } else if (auto_pad != "VALID") {
    refuse(call, cat("unknown auto_pad '", printable(auto_pad), "'"));
  }
  count_outputs(call, window, sizes);
  return window;
}

bool is_symmetric(const Window& window) {
  for (size_t i = 0; i < window.begin.size(); ++i) {
    if (window.begin[i] != window.end[i] || window.begin[i] < 0) return false;
    if (window.extension[i] > 0) return false;
  }
  return true;
}

Tensor padded(const OpCall& call, const Tensor& x, const Window& window, double value) {
  std::vector<int64_t> amounts;              // ATen wants the last axis first
  for (size_t i = window.begin.size(); i-- > 0;) {
    amounts.push_back(window.begin[i]);
    amounts.push_back(window.end[i] + window.extension[i]);
  }
  if (std::all_of(amounts.begin(), amounts.end(), [](int64_t n) { return n == 0; })) return x;
  std::vector<int64_t> sizes = x.sizes().vec();
  for (size_t i = 0; i < window.begin.size(); ++i) {
    sizes[sizes.size() - window.begin.size() + i] +=
        window.begin[i] + window.end[i] + window.extension[i];
  }
  check_sizes(call, sizes);
  return at::constant_pad_nd(x, amounts, value);
}

}  // namespace niwaki
