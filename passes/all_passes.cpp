#include "passes/all_passes.h"

#include "passes/cleanup/eliminate_dead_nodes.h"
#include "passes/cleanup/eliminate_identity.h"
#include "passes/cleanup/flatten_softmax.h"
#include "passes/cleanup/fold_batch_norm.h"
#include "passes/cleanup/fold_constants.h"
#include "passes/cleanup/merge_duplicates.h"
#include "passes/cleanup/merge_matmul_add.h"
#include "passes/cleanup/simplify_shapes.h"
#include "passes/cleanup/simplify_shuffles.h"
#include "passes/factorize/factorize_weights.h"
#include "passes/prune/prune_blocks.h"
#include "passes/prune/prune_channels.h"
#include "passes/prune/prune_weights.h"
#include "passes/prune/reestimate_batch_norm.h"
#include "passes/prune/remove_dead_channels.h"
#include "passes/quantize/equalize_channels.h"
#include "passes/quantize/quantize_dynamic.h"
#include "passes/quantize/quantize_static.h"
#include "passes/quantize/quantize_weights.h"
#include "passes/share/share_weights.h"
#include "passes/store/encode_constants.h"
#include "passes/store/expand_stored_forms.h"
#include "passes/store/shorten_names.h"
#include "passes/store/store_weights.h"
#include "passes/train/distill.h"
#include "passes/train/finetune.h"
#include "passes/train/tune_blocks.h"

namespace niwaki {
namespace {

PassTable sorted_passes() {
  PassTable table;
  table.add("distill", "train the weights to answer as a teacher does", distill);
  table.add("eliminate_dead_nodes", "remove nodes and constants that nobody reads", eliminate_dead_nodes);
  table.add("eliminate_identity", "remove nodes that change nothing", eliminate_identity);
  table.add("encode_constants", "store constants in forms that expand to the same bits", encode_constants);
  table.add("equalize_channels", "move scales between linear nodes until their rows are equally large", equalize_channels);
  table.add("expand_stored_forms", "make weights that are stored in another form plain constants", expand_stored_forms);
  table.add("factorize_weights", "replace weights by products of narrow ones and fit the last", factorize_weights);
  table.add("finetune", "train the weights on labelled samples", finetune);
  table.add("flatten_softmax", "run Softmax over the channels of images on fewer axes", flatten_softmax);
  table.add("fold_batch_norm", "fold BatchNormalization into the linear node beside it", fold_batch_norm);
  table.add("fold_constants", "compute what depends on constants alone", fold_constants);
  table.add("merge_duplicates", "make equal constants and equal nodes one", merge_duplicates);
  table.add("merge_matmul_add", "merge MatMul and the Add of a bias into Gemm", merge_matmul_add);
  table.add("prune_blocks", "take out residual blocks that matter least and repair what is left", prune_blocks);
  table.add("prune_channels", "remove whole channels and repair what is left", prune_channels);
  table.add("prune_weights", "set weights to zero and let the others make up for it", prune_weights);
  table.add("quantize_dynamic", "multiply in integers, with activation scales of each run", quantize_dynamic);
  table.add("quantize_static", "give nodes integer kernels where they pay", quantize_static);
  table.add("quantize_weights", "run products and tables on weights in 4 or 8 bits", quantize_weights);
  table.add("reestimate_batch_norm", "give BatchNormalization the statistics of the calibration data", reestimate_batch_norm);
  table.add("remove_dead_channels", "remove channels that are unused, constant or equal to another", remove_dead_channels);
  table.add("share_weights", "make weights share few numbers, which the archive stores small", share_weights);
  table.add("shorten_names", "rename inner values to short counters, drop node names", shorten_names);
  table.add("simplify_shapes", "replace lengths that are the same for every input", simplify_shapes);
  table.add("simplify_shuffles", "replace shuffles of channels by one Gather per result", simplify_shuffles);
  table.add("store_weights", "store weights as integers that are floats again once loaded", store_weights);
  table.add("tune_blocks", "train each block to give what the teacher's block gives", tune_blocks);
  return table;
}

}  // namespace

const PassTable& all_passes() {
  static const PassTable table = sorted_passes();
  return table;
}

}  // namespace niwaki
