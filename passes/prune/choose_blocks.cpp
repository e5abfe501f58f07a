#include "passes/prune/choose_blocks.h"

#include <algorithm>
#include <cmath>

namespace niwaki {
namespace {

constexpr double kClose = 1.25;              // times the best rough score: few samples may hide a better one
constexpr size_t kExact = 2;                 // candidates of a step that are measured exactly, at most

BlockSet joined(const BlockSet& a, const BlockSet& b) {
  BlockSet all = a;
  all.insert(b.begin(), b.end());
  return all;
}

struct Candidate {
  BlockSet blocks;
  double added = 0, rough = 0;               // divergence, as measured last, and on few samples
  bool was_measured = false;
};

class Chooser {
 public:
  Chooser(const std::vector<BlockSet>& candidates, double budget, size_t retries, const BlockCosts& costs) : budget_(budget), retries_(retries), costs_(costs) {
    for (const BlockSet& blocks : candidates) candidates_.push_back({blocks});
  }
  BlockChoice run();

 private:
  double score(const Candidate& one) const;
  std::vector<Candidate*> open();
  void measure(Candidate& one, bool is_rough);
  void measure_close(std::vector<Candidate*>& ranked);
  Candidate* best();
  void give_back();

  std::vector<Candidate> candidates_;
  double budget_;
  size_t retries_;
  const BlockCosts& costs_;
  BlockChoice choice_;
  double left_ = 0;
  double rough_ = 0, exact_ = 0;             // divergence of what is gone, on few samples and on all
};

/// More than what is needed is worth nothing.
double Chooser::score(const Candidate& one) const {
  const double saved = std::min(left_ - costs_.left(joined(choice_.removed, one.blocks)), left_ - budget_);
  return std::max(one.added, 1e-12) / saved;
}

std::vector<Candidate*> Chooser::open() {
  std::vector<Candidate*> found;
  for (Candidate& one : candidates_) {
    const bool is_partly_gone = std::any_of(one.blocks.begin(), one.blocks.end(), [&](size_t index) { return choice_.removed.contains(index); });
    if (!is_partly_gone && costs_.left(joined(choice_.removed, one.blocks)) < left_) found.push_back(&one);
  }
  return found;
}

void Chooser::measure(Candidate& one, bool is_rough) {
  one.added = costs_.divergence(joined(choice_.removed, one.blocks), is_rough) - (is_rough ? rough_ : exact_);
  one.was_measured = true;
  if (is_rough) one.rough = one.added;
}

/// Keeps those that come close to the best, which is in front; where there are several, more samples decide.
void Chooser::measure_close(std::vector<Candidate*>& ranked) {
  if (ranked.empty()) return;
  const double limit = kClose * score(*ranked.front());
  std::erase_if(ranked, [&](const Candidate* one) { return score(*one) > limit; });
  if (ranked.size() == 1) return;
  ranked.erase(ranked.begin() + static_cast<std::ptrdiff_t>(std::min(ranked.size(), kExact)), ranked.end());
  for (Candidate* one : ranked) measure(*one, /*is_rough=*/false);
}

Candidate* Chooser::best() {
  std::vector<Candidate*> ranked = open();
  const auto sort = [&] { std::stable_sort(ranked.begin(), ranked.end(), [&](const Candidate* a, const Candidate* b) { return score(*a) < score(*b); }); };
  sort();
  size_t count = 0;
  std::vector<Candidate*> measured;
  for (Candidate* one : ranked) {
    if (one->was_measured && count++ >= retries_) continue;
    measure(*one, /*is_rough=*/true);
    measured.push_back(one);
  }
  ranked = std::move(measured);
  sort();
  measure_close(ranked);
  sort();
  return ranked.empty() ? nullptr : ranked.front();
}

/// Blocks without which the budget holds all the same, those that cost the most first.
void Chooser::give_back() {
  auto ranked = choice_.order;
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [index, added] : ranked) {
    BlockSet fewer = choice_.removed;
    fewer.erase(index);
    if (costs_.left(fewer) > budget_) continue;
    choice_.removed = fewer;
    std::erase_if(choice_.order, [gone = index](const auto& one) { return one.first == gone; });
  }
}

BlockChoice Chooser::run() {
  left_ = costs_.left({});
  while (left_ > budget_) {
    const Candidate* chosen = best();
    if (!chosen) break;
    for (const size_t index : chosen->blocks) choice_.order.emplace_back(index, chosen->added);
    choice_.removed = joined(choice_.removed, chosen->blocks);
    rough_ += chosen->rough;
    exact_ += chosen->added;
    left_ = costs_.left(choice_.removed);
  }
  choice_.is_reached = left_ <= budget_;
  if (choice_.is_reached) give_back();
  return std::move(choice_);
}

}  // namespace

BlockChoice choose_blocks(const std::vector<BlockSet>& candidates, double budget, size_t retries, const BlockCosts& costs) {
  return Chooser(candidates, budget, retries, costs).run();
}

}  // namespace niwaki
