#pragma once

#include "compress/pass.h"

#include <tuple>

namespace niwaki {

struct EncodeConstantsOptions {
  int64_t least_saving = 16;
  bool sparse = true;
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() {
    using O = EncodeConstantsOptions;
    return std::tuple{field("least_saving", &O::least_saving, "bytes of the file that the form of a constant must save").between(1, 1e9),
                      field("sparse", &O::sparse, "leave zeros out; ONNX Runtime puts them back at load, other runtimes may do it in every run")};
  }
};

/// Writes each constant in the smallest form that expands to the same bits when a runtime loads the model.
///   before   y = Add(x, mask)
///   after    mask = Where(Greater(Range(0, n, 1), rows), -inf, 0), y = Add(x, mask)
/// Sizes are those of the file, names and nodes included; a form is used only when the executor's operators give the
/// constant back bit for bit. The opset is raised to 11 where that saves a twentieth of the file. Shapes, axes and scales
/// that operators read at load are left alone.
void encode_constants(Graph& graph, const EncodeConstantsOptions& options, PassContext& context);

}  // namespace niwaki
