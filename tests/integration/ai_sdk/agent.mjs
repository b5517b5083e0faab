// Drives an agent with AI SDK 6: runs the client's tool, answers requests for approval, and prints what it saw as JSON.
// Usage: node agent.mjs BASE_URL API_KEY (stream|whole) (approve|decline)

import { createOpenAI } from "@ai-sdk/openai";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const [baseURL, apiKey, way, decision] = process.argv.slice(2);
const openai = createOpenAI({ baseURL, apiKey });
const looked = [];
const asked = [];
const tools = {
  codex: openai.tools.mcp({ serverLabel: "codex", serverUrl: "http://localhost", requireApproval: "always" }),
  lookup: tool({
    description: "Looks up.",
    inputSchema: jsonSchema({ type: "object", properties: { q: { type: "string" } }, required: ["q"] }),
    execute: ({ q }) => {
      looked.push(q);
      return `found ${q}`;
    },
  }),
};

async function step(messages) {
  const options = { model: openai.responses("codex-agent"), messages, tools, stopWhen: stepCountIs(5), maxRetries: 0 };
  if (way === "whole") return generateText(options);
  const result = streamText({ ...options, onError: ({ error }) => { throw error; } });
  await result.consumeStream();
  return { content: await result.content, response: await result.response, text: await result.text };
}

const messages = [{ role: "user", content: "Work." }];
for (;;) {
  const { content, response, text } = await step(messages);
  messages.push(...response.messages);
  const requests = content.filter((part) => part.type === "tool-approval-request");
  if (!requests.length) {
    console.log(JSON.stringify({ text, looked, asked }));
    break;
  }
  asked.push(...requests.map((part) => part.toolCall.toolName));
  messages.push({
    role: "tool",
    content: requests.map(({ approvalId }) => ({
      type: "tool-approval-response",
      approvalId,
      approved: decision === "approve",
      providerExecuted: true,
    })),
  });
}
