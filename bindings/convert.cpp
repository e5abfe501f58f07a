#include <torch/csrc/autograd/python_variable.h>

#include "bindings/bind.h"

namespace niwaki {

pybind11::object to_python(const Tensor& tensor) {
  return pybind11::reinterpret_steal<pybind11::object>(THPVariable_Wrap(tensor));
}

Tensor to_tensor(pybind11::handle object) {
  if (!THPVariable_Check(object.ptr())) throw pybind11::type_error("needed a torch.Tensor");
  return THPVariable_Unpack(object.ptr()).detach();
}

}  // namespace niwaki
