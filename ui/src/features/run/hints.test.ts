import { describe, expect, it } from "vitest";
import { hintOf, keepsDataAt } from "./hints";

describe("where an image keeps data", () => {
  it("is what the image says, whatever its name promises", () => {
    expect(keepsDataAt({ volumes: ["/data"] }, "postgres:17")).toEqual(["/data"]);
  });

  it("is what is known of its name while the image says nothing, or is not here", () => {
    expect(keepsDataAt({ volumes: [] }, "redis:8")).toEqual(["/data"]);
    expect(keepsDataAt(undefined, "docker.io/library/mysql@sha256:00")).toEqual(["/var/lib/mysql"]);
    expect(keepsDataAt(undefined, "shop/redis:8")).toEqual([]);
  });

  it("moved in one of them", () => {
    expect(hintOf("postgres:17.2")?.data).toBe("/var/lib/postgresql/data");
    expect(hintOf("postgres:18-alpine")?.data).toBe("/var/lib/postgresql");
    expect(hintOf("postgres")?.data).toBe("/var/lib/postgresql");
  });
});
