#pragma once

#include <string>

#include "cli/context.h"
#include "cli/output.h"

namespace tacit::cli {

// What people read, made from the server's answers. Pure; shows '-' for what an answer does not have.

std::string DescribeTask(const Json& task);
std::string DescribeAdjustment(const Json& adjustment);
std::string DescribeTasks(const Json& tasks);
std::string DescribeRounds(const Json& rounds);
std::string DescribePlan(const Json& plan);
std::string DescribePrivacy(const Json& privacy);
/// What rounds to come would cost.
std::string DescribeOutlook(const Json& outlook);
std::string DescribeLedger(const Json& items);
/// What one device has spent, task by task.
std::string DescribeSpends(const Json& items);
std::string DescribeAccessToken(const Json& token);
std::string DescribeAccessTokens(const Json& tokens);
std::string DescribeWhoami(const Json& self);
std::string DescribeAuditLog(const Json& records);
std::string DescribeFleet(const Json& fleet);
/// What a person should look at.
std::string DescribeAlerts(const Json& alerts);
/// A line for each series of each metric.
std::string DescribeMetrics(const Json& metrics);
/// One device, with its key and what it has of models.
std::string DescribeDevice(const Json& device);
/// Which versions of a task devices may use.
std::string DescribeDeployment(const Json& deployment);
/// What devices report of a task's models.
std::string DescribeEdge(const Json& edge);
std::string DescribeDevices(const Json& devices);
/// Enrolment tokens, without their secrets.
std::string DescribeTokens(const Json& tokens);
/// `host` is where devices reach the server, as far as the operator's own address tells.
std::string DescribeToken(const Json& token, const std::string& host);
/// One change of a round, on one line.
std::string DescribeRound(const Json& round);

}  // namespace tacit::cli
