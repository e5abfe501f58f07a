#pragma once

#include "passes/factorize/factor_units.h"

namespace niwaki {

/// A copy in which a Transpose of a table that is looked up, too, is a constant, where MatMul and Gemm alone multiply by it: ids stay.
Graph with_turned_tables(const Graph& graph);

/// Float tables of two axes, each with the Gather nodes that read rows of it and, of a tied one, the MatMul and Gemm that multiply by
/// it, turned: the table itself, or another constant of the same numbers. For a graph with turned tables.
std::vector<FactorUnit> table_units(const Graph& graph);

/// Why this table cannot be factorized, or "".
std::string why_not_table(const Graph& graph, const FactorUnit& unit);

/// A table that is looked up alone: rows as vectors that a narrow map shall keep; those that the data never read count a little.
FactoredLayer layer_of_table(const Graph& graph, const FactorUnit& unit, const Statistics* statistics, const KnownSizes& sizes);

/// Makes the layer of the linear nodes of a tied table one of its lookups, too.
void add_lookups(const Graph& graph, const FactorUnit& unit, const Statistics* statistics, const KnownSizes& sizes, FactoredLayer& layer);

}  // namespace niwaki
