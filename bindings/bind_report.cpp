#include "bindings/bind.h"
#include "compress/report/report.h"
#include "compress/report/summary.h"

namespace py = pybind11;

namespace niwaki {
namespace {

py::list headline_rows(const std::string& text) {
  py::list rows;
  for (const Row& row : headline(Json::parse(text))) {
    rows.append(py::make_tuple(row.label, row.before, row.after, row.change, row.verdict));
  }
  return rows;
}

}  // namespace

void bind_report(py::module_& module) {
  module.def("headline", &headline_rows, py::arg("report"));
  module.def(
      "render", [](const std::string& text, const std::string& format) { return render(Json::parse(text), format); },
      py::arg("report"), py::arg("format"));
  module.def(
      "terminal_table", [](const std::string& text, int columns) { return terminal_table(Json::parse(text), columns); },
      py::arg("report"), py::arg("columns") = 80);
}

}  // namespace niwaki
