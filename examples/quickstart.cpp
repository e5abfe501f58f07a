// Makes a model smaller from C++: quickstart MODEL.onnx CALIB.npz OUT.onnx
#include "compress/cli/job.h"

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: quickstart MODEL.onnx CALIB.npz OUT.onnx\n");
    return 2;
  }
  try {
    niwaki::JobRequest request{.program = argv[0], .command_line = "quickstart", .model = argv[1], .output = argv[3]};
    request.calibration.path = argv[2];
    request.steps = niwaki::expand_verb("quantize", {{"bits", 8}}, /*has_calibration=*/true);
    request.force = true;
    const niwaki::JobResult result = niwaki::run_job(request);
    const niwaki::Json& report = result.report;
    std::printf("%lld -> %lld bytes, %s\n", report["before"]["file_bytes"].get<long long>(),
                report["after"]["file_bytes"].get<long long>(), report["verdict"].get<std::string>().c_str());
    return result.exit_code;
  } catch (const niwaki::Error& error) {
    std::fprintf(stderr, "%s\n", error.text().c_str());
    return error.exit_code();
  }
}
