#pragma once

#include <map>

#include "compress/dataset.h"
#include "formats/preprocess.h"

namespace niwaki {

/// Makes arrays fit a graph's inputs as far as their form allows: an unnamed array ("arr_0") takes
/// the name of the only input that `fixed` does not give; idx and CSV elements fill the input in
/// order; axes of size 1 of a folder's samples are added or dropped; float inputs go through
/// `preprocess`. `notes` gets W1715 where uint8 goes into a float input without a scale. What does
/// not fit is left to Dataset, which says why.
SampleArrays fit_samples(const Graph& graph, SampleArrays arrays, const Preprocess& preprocess,
                         const std::map<std::string, std::string>& fixed, Strings* notes = nullptr);

}  // namespace niwaki
