#include "bindings/bind.h"
#include "compress/cli/command.h"
#include "compress/error.h"
#include "compress/train/process_group.h"

#include <pybind11/stl.h>

namespace py = pybind11;

namespace niwaki {
namespace {

/// Calls Python from the thread that trains. Where the others are gone while this process is asked to stop, it stops too.
template <typename Call>
auto asked(const Call& call) {
  const py::gil_scoped_acquire held;
  try {
    return call();
  } catch (const py::error_already_set& error) {
    if (Progress::stop_requested()) throw Interrupted();
    throw EnvironmentError("E4009", "the processes that train together lost each other", {.found = printable(error.what(), 300), .help = "see what the others said; the same command goes on"});
  }
}

/// A command line as one of `size` processes. `all_reduce` adds a torch.Tensor up in place, `broadcast` gives every process the
/// bytes of the first.
int run_in_group(const Strings& words, int rank, int size, const py::function& all_reduce, const py::function& broadcast) {
  ProcessGroup group{.rank = rank, .size = size};
  group.all_reduce = [&](const Tensor& tensor) { asked([&] { all_reduce(to_python(tensor)); }); };
  group.broadcast = [&](const std::string& text) {
    return asked([&] { return std::string(py::cast<py::bytes>(broadcast(py::bytes(text)))); });
  };
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  const py::gil_scoped_release released;
  return run_command(static_cast<int>(argv.size()), argv.data(), &group);
}

}  // namespace

void bind_group(py::module_& module) {
  module.def("run_in_group", &run_in_group, py::arg("argv"), py::arg("rank"), py::arg("size"), py::arg("all_reduce"), py::arg("broadcast"));
}

}  // namespace niwaki
