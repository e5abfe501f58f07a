#include "bindings/bind.h"

PYBIND11_MODULE(_core, module) {
  module.doc() = "Native part of niwaki; use the niwaki package.";
  module.attr("version") = NIWAKI_VERSION;
  niwaki::bind_archive(module);
  niwaki::bind_errors(module);
  niwaki::bind_group(module);
  niwaki::bind_model(module);
  niwaki::bind_nn(module);
  niwaki::bind_pipeline(module);
  niwaki::bind_report(module);
}
