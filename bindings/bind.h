#pragma once

#include "compress/options.h"
#include "compress/progress.h"
#include "compress/tensor.h"

#include <pybind11/pybind11.h>

#include <chrono>
#include <future>

namespace niwaki {

// module.cpp is the list of these
void bind_archive(pybind11::module_& module);
void bind_errors(pybind11::module_& module);
void bind_group(pybind11::module_& module);
void bind_model(pybind11::module_& module);
void bind_nn(pybind11::module_& module);
void bind_pipeline(pybind11::module_& module);
void bind_report(pybind11::module_& module);

/// A torch.Tensor that shares the tensor's memory.
pybind11::object to_python(const Tensor& tensor);
/// The tensor of a torch.Tensor; TypeError for anything else.
Tensor to_tensor(pybind11::handle object);

/// Json as text for json.loads; bytes that are no UTF-8 are replaced.
inline std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Runs long work in a thread of its own, without the GIL, and looks for Ctrl-C meanwhile: the work is then stopped and the
/// KeyboardInterrupt raised.
template <typename Work>
auto interruptible(Work work) {
  const pybind11::gil_scoped_release released;
  auto result = std::async(std::launch::async, std::move(work));
  while (result.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
    const pybind11::gil_scoped_acquire held;
    if (PyErr_CheckSignals() == 0) continue;
    pybind11::error_already_set signal;
    Progress::stop_requested() = true;
    {
      const pybind11::gil_scoped_release again;
      result.wait();
    }
    Progress::stop_requested() = false;
    throw signal;
  }
  return result.get();
}

}  // namespace niwaki
