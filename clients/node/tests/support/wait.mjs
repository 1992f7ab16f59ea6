/** Wait until the condition holds; it fails after ten seconds. */
export async function until(condition, what) {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`after 10 s there is still not: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
