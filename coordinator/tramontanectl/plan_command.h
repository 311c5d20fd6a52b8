// `tramontanectl plan`: what a model, so many users and so much memory ask for.
#ifndef TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_COMMAND_H_
#define TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_COMMAND_H_

namespace tramontane {

// Reads the flags, writes the plan to standard output and, where asked, to the file of values.
// Returns the exit code (docs/operations.md).
int ShowPlan(bool json);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TRAMONTANECTL_PLAN_COMMAND_H_
