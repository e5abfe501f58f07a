#include "bindings/bind.h"

#include <c10/util/Exception.h>

namespace py = pybind11;

namespace niwaki {
namespace {

/// The classes are Python's (niwaki/_errors.py): they exist without this module, and pickle.
void raise(const Error& error) {
  constexpr const char* kNames[] = {"UsageError", "ModelError", "UnsupportedError", "EnvironmentError", "InternalError"};
  const py::object type = py::module_::import("niwaki._errors").attr(kNames[static_cast<size_t>(error.kind())]);
  const ErrorDetails& details = error.details();
  const py::object value = type(printable(error.message(), 2000), error.code(), details.where, details.found, details.help);
  PyErr_SetObject(type.ptr(), value.ptr());
}

}  // namespace

void bind_errors(py::module_&) {
  py::register_local_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const Error& error) {
      raise(error);
    } catch (const c10::Error& error) {
      raise(InternalError(error.what_without_backtrace()));
    } catch (const std::bad_alloc&) {
      raise(EnvironmentError("E4002", "memory is exhausted"));
    } catch (const Interrupted&) {
      PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
  });
}

}  // namespace niwaki
