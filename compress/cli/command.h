#pragma once

#include "compress/cli/command_line.h"
#include "compress/cli/job.h"
#include "compress/recipe.h"

namespace niwaki {

class Terminal;

/// Runs a command line from argv to exit code; prints what there is to print. In a group of processes only training is of use.
int run_command(int argc, const char* const* argv, const ProcessGroup* group = nullptr);

/// Limits and links of a command line; E2001 for an unknown limit.
ReadOptions read_options(const CommandLine& line);
/// What the flags that writing verbs share ask for; steps are left to the verb.
JobRequest job_request(const CommandLine& line);
/// Runs a job and shows it: stages, messages, the table; returns the exit code.
int show_job(const JobRequest& request, const CommandLine& line, Terminal& terminal);
/// Inputs that fit a graph, drawn by seed: normal floats, small integers; free dimensions get `batch` or a usual size.
std::map<std::string, Tensor> random_inputs(const Graph& graph, int64_t batch, uint64_t seed, const std::map<std::string, std::string>& fixed);
/// "input[N,3,32,32]".
std::string interface_text(const Graph& graph, const std::vector<ValueId>& values);
/// NAME=VALUE words of a flag.
std::map<std::string, std::string> pairs_of(const CommandLine& line, const std::string& flag);

/// Passes and verbs that a recipe may name, with their options.
KnownSteps known_steps();

// One function per verb; each returns its exit code.
int convert_command(const CommandLine& line, Terminal& terminal);
int verb_command(const CommandLine& line, Terminal& terminal);   // prune, quantize
int run_recipe_command(const CommandLine& line, Terminal& terminal);
int pack_command(const CommandLine& line, Terminal& terminal);
int unpack_command(const CommandLine& line, Terminal& terminal);
int evaluate_command(const CommandLine& line, Terminal& terminal);
int bench_command(const CommandLine& line, Terminal& terminal);
int inspect_command(const CommandLine& line, Terminal& terminal);
int check_command(const CommandLine& line, Terminal& terminal);
int compare_command(const CommandLine& line, Terminal& terminal);
int report_command(const CommandLine& line, Terminal& terminal);
int explain_command(const CommandLine& line, Terminal& terminal);
int doctor_command(const CommandLine& line, Terminal& terminal);
int passes_command(const CommandLine& line, Terminal& terminal);

}  // namespace niwaki
